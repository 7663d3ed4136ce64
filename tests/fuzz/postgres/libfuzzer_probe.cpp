// SPDX-License-Identifier: Apache-2.0
// Is there libFuzzer, with sanitizers? CMake tries.
#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t) {
  return 0;
}
