// SPDX-License-Identifier: Apache-2.0
// The entry points, for libFuzzer and for the test that replays the corpus under any compiler.
// They abort when something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>

namespace leaktrace::fuzz {

/// Reads the bytes as a recording: once as they are, once with checksums made right, so that
/// mutations get past them.
void fuzz_recording(const std::uint8_t* data, std::size_t size);

/// Takes the bytes as choices of calls of a RangeTable, held against a model of single pages.
void fuzz_range_table(const std::uint8_t* data, std::size_t size);

}  // namespace leaktrace::fuzz
