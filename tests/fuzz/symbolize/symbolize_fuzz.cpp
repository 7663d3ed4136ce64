// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: symbolize_fuzz CORPUS, with the fixtures of the unit test as a corpus.
#include "tests/fuzz/symbolize/one_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  leaktrace::symbolize::test::look_up_all_over(data, size);
  return 0;
}
