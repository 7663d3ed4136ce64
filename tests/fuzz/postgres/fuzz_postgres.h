// SPDX-License-Identifier: Apache-2.0
// The entry points, for libFuzzer and for the test that replays the corpus under any compiler.
// They abort when something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>

namespace leaktrace::fuzz {

/// Reads the bytes as SQL, whole and cut: may_matter and parse_sql agree, views lie in the text,
/// and what is normalized holds no literal.
void fuzz_sql(const std::uint8_t* data, std::size_t size);

/// Reads lines as events and plays them: the books stay right.
void fuzz_sessions(const std::uint8_t* data, std::size_t size);

/// Takes the bytes as choices of events of a few connections, so that all of them are some.
void fuzz_events(const std::uint8_t* data, std::size_t size);

}  // namespace leaktrace::fuzz
