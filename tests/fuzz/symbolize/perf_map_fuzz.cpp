// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: perf_map_fuzz CORPUS.
#include "tests/fuzz/symbolize/one_perf_map.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  leaktrace::symbolize::test::read_perf_map(data, size);
  return 0;
}
