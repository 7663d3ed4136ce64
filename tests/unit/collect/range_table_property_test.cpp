// SPDX-License-Identifier: Apache-2.0
// RangeTable against the page model, over seeded random calls.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/collect/page_model.h"
#include "user/collect/range_table.h"

namespace leaktrace::collect {
namespace {

TEST(RangeTableProperty, AgreesWithAModelOfSinglePages) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    const auto next = [&random](std::uint64_t below) { return random() % below; };
    RangeTableCheck check({});
    for (int i = 0; i < 5000; ++i) {
      check.step(next);
      // Often at first, so that a failure is found near its cause.
      if (i > 200 && i % 50 != 0) continue;
      ASSERT_EQ(check.difference(), "") << "seed " << seed << ", step " << i;
    }
  }
}

/// Without the model: millions of calls, and a table that is too small for them.
TEST(RangeTableProperty, StaysWithinItsBoundsAndNeverLetsACounterFall) {
  constexpr std::size_t kMaxParts = 200;
  constexpr std::uint32_t kThreads = 4;
  RangeTable table({.max_parts = kMaxParts, .max_sites = 30});
  std::mt19937_64 random(7);
  const auto next = [&random](std::uint64_t below) { return random() % below; };
  std::unordered_map<model::SiteKey, model::Counters> last;
  for (int i = 0; i < 2'000'000; ++i) {
    const auto tid = static_cast<std::uint32_t>(next(kThreads));
    const std::uint64_t address = next(4000) * 4096;
    const std::uint64_t length = 1 + next(30 * 4096);
    switch (next(5)) {
      case 0:
      case 1:
        table.acquired({{1},
                        tid,
                        address,
                        length,
                        {next(40)},
                        static_cast<std::uint64_t>(i),
                        false,
                        next(2) == 0});
        break;
      case 2:
      case 3:
        table.taken({1}, tid, address, length);
        break;
      default:
        table.restored({1}, tid);
    }
    // An edge cut off by a call under way takes one more, at either end.
    ASSERT_LE(table.parts(), kMaxParts + 3 * kThreads);
    if (i % 1000 != 0) continue;
    table.settle();
    std::vector<model::Block> blocks;
    table.append_blocks(blocks);
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
    for (const model::SiteCounters& site : table.sites()) {
      const model::Counters before = std::exchange(last[site.site], site.counters);
      ASSERT_LE(before.acquired_count, site.counters.acquired_count);
      ASSERT_LE(before.acquired_bytes, site.counters.acquired_bytes);
      ASSERT_LE(before.released_count, site.counters.released_count);
      ASSERT_LE(before.released_bytes, site.counters.released_bytes);
      ASSERT_LE(site.counters.released_count, site.counters.acquired_count);
      ASSERT_LE(site.counters.released_bytes, site.counters.acquired_bytes);
      count += site.counters.outstanding_count();
      bytes += site.counters.outstanding_bytes();
    }
    for (const model::Block& block : blocks) bytes -= block.size;
    ASSERT_EQ(count, blocks.size());
    ASSERT_EQ(bytes, 0U);
  }
  model::Losses losses{};
  table.add_losses(losses);
  EXPECT_GT(losses[LT_LOSS_LIVE_TABLE_FULL], 0U);
  EXPECT_GT(losses[LT_LOSS_SITE_TABLE_FULL], 0U);
  EXPECT_EQ(last.size(), 30U);
}

}  // namespace
}  // namespace leaktrace::collect
