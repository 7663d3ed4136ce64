// SPDX-License-Identifier: Apache-2.0
// LEAKTRACE_FUZZ_ENTRY: the entry point, by CMake.
#include "tests/fuzz/postgres/fuzz_postgres.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  leaktrace::fuzz::LEAKTRACE_FUZZ_ENTRY(data, size);
  return 0;
}
