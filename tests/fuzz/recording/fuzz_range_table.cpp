// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <cstdlib>

#include "tests/fuzz/recording/fuzz_recording.h"
#include "tests/unit/collect/page_model.h"
#include "user/collect/range_table.h"

namespace leaktrace::fuzz {

void fuzz_range_table(const std::uint8_t* data, std::size_t size) {
  std::size_t used = 0;
  const auto byte = [&]() -> std::uint64_t { return used < size ? data[used++] : 0; };
  const auto next = [&byte](std::uint64_t below) {
    return (below > 256 ? byte() << 8 | byte() : byte()) % below;
  };
  collect::RangeTableCheck check({});
  while (used < size) {
    check.step(next);
    const std::string difference = check.difference();
    if (difference.empty()) continue;
    fmt::print(stderr, "differs from the model after {} bytes: {}\n", used, difference);
    std::abort();
  }
}

}  // namespace leaktrace::fuzz
