// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace leaktrace::symbolize::test {

/// Reads the bytes as a perf map, in pieces that they themselves decide, and asks for names.
/// Aborts when what was read contradicts itself.
void read_perf_map(const std::uint8_t* bytes, std::size_t size);

}  // namespace leaktrace::symbolize::test
