// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/interval_pool.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace leaktrace::tracer {
namespace {

TEST(IntervalPool, HandsOutTheLowestRunThatFits) {
  IntervalPool pool(10);
  EXPECT_EQ(pool.take(4), 0U);
  EXPECT_EQ(pool.take(4), 4U);
  EXPECT_EQ(pool.take(4), std::nullopt);
  pool.give_back(0, 4);
  EXPECT_EQ(pool.take(2), 0U);
  EXPECT_EQ(pool.taken(), 6U);
}

TEST(IntervalPool, JoinsWhatComesBack) {
  IntervalPool pool(9);
  for (uint32_t first : {0U, 3U, 6U}) EXPECT_EQ(pool.take(3), first);
  pool.give_back(0, 3);
  pool.give_back(6, 3);
  EXPECT_EQ(pool.take(4), std::nullopt);
  pool.give_back(3, 3);
  EXPECT_EQ(pool.take(9), 0U);
}

TEST(IntervalPool, NeverHandsOutANumberTwice) {
  constexpr uint32_t size = 500;
  IntervalPool pool(size);
  std::vector<bool> used(size);
  std::vector<std::pair<uint32_t, uint32_t>> runs;
  std::mt19937 random(3);
  const auto mark = [&](std::pair<uint32_t, uint32_t> run, bool to) {
    for (uint32_t i = run.first; i < run.first + run.second; ++i) {
      ASSERT_NE(used.at(i), to);
      used[i] = to;
    }
  };
  for (int round = 0; round < 2000; ++round) {
    const auto count = static_cast<uint32_t>(1 + random() % 40);
    if (const auto first = pool.take(count); first && random() % 3 != 0) {
      runs.emplace_back(*first, count);
      mark(runs.back(), true);
    } else if (first) {
      pool.give_back(*first, count);
    }
    if (!runs.empty() && random() % 3 == 0) {
      std::swap(runs[random() % runs.size()], runs.back());
      mark(runs.back(), false);
      pool.give_back(runs.back().first, runs.back().second);
      runs.pop_back();
    }
  }
  for (const auto& [first, count] : runs) pool.give_back(first, count);
  EXPECT_EQ(pool.taken(), 0U);
  EXPECT_EQ(pool.take(size), 0U);
}

}  // namespace
}  // namespace leaktrace::tracer
