// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace leaktrace::analyze {
namespace {

/// Counters as a trace that samples one byte in `interval` would have them.
class SampledSite {
 public:
  explicit SampledSite(double interval) : interval_(interval) {}

  /// A block that is outstanding, if chance takes it.
  void acquire(std::uint64_t size, std::mt19937_64& random) {
    const auto bytes = static_cast<double>(size);
    const double chance = -std::expm1(-bytes / interval_);
    // Not a distribution of the library's, which may differ from one to the next.
    if (static_cast<double>(random() >> 11U) * 0x1p-53 >= chance) return;
    count_ += 1 / chance;
    bytes_ += bytes / chance;
    const double variance = (1 - chance) / (chance * chance);
    count_variance_ += variance;
    bytes_variance_ += bytes * bytes * variance;
    ++samples_;
  }

  [[nodiscard]] model::Counters counters() const {
    model::Counters counters;
    counters.acquired_count = static_cast<std::uint64_t>(std::llround(count_));
    counters.acquired_bytes = static_cast<std::uint64_t>(std::llround(bytes_));
    counters.estimate.acquired_samples = samples_;
    counters.estimate.count_variance = count_variance_;
    counters.estimate.bytes_variance = bytes_variance_;
    return counters;
  }

 private:
  double interval_;
  double count_ = 0;
  double bytes_ = 0;
  double count_variance_ = 0;
  double bytes_variance_ = 0;
  std::uint64_t samples_ = 0;
};

struct Blocks {
  std::uint64_t number;
  std::uint64_t size;
};

struct Coverage {
  double count = 0;
  double bytes = 0;
};

/// How often the limits hold the truth, over the trials in which there was a sample.
Coverage coverage_of(const std::vector<Blocks>& population, double interval) {
  constexpr int kTrials = 2000;
  std::mt19937_64 random(42);
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  for (const Blocks& blocks : population) {
    count += blocks.number;
    bytes += blocks.number * blocks.size;
  }
  Coverage held;
  int trials = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    SampledSite site(interval);
    for (const Blocks& blocks : population) {
      for (std::uint64_t i = 0; i < blocks.number; ++i) site.acquire(blocks.size, random);
    }
    const Outstanding outstanding(site.counters());
    if (outstanding.count() == 0) continue;
    ++trials;
    Limits counts{outstanding.count(), outstanding.count()};
    Limits sizes{outstanding.bytes(), outstanding.bytes()};
    if (const auto estimate = outstanding.estimate()) {
      counts = estimate->count;
      sizes = estimate->bytes;
    }
    held.count += counts.low <= count && count <= counts.high ? 1 : 0;
    held.bytes += sizes.low <= bytes && bytes <= sizes.high ? 1 : 0;
  }
  held.count /= trials;
  held.bytes /= trials;
  return held;
}

model::Counters site(std::uint64_t count, std::uint64_t bytes, const model::Estimate& estimate) {
  return {count, bytes, 0, 0, 0, estimate};
}

TEST(Estimate, NineteenOfTwentyLimitsHoldTheTruth) {
  constexpr double kInterval = 65536;
  const std::vector<std::vector<Blocks>> populations = {
      {{300, 655}},                    // 3 samples on average
      {{1000, 655}},                   // 10
      {{5000, 655}},                   // 50
      {{100, 6554}},                   // 10 of 100
      {{20, 65536}},                   // most of them
      {{30, 200'000}},                 // nearly all
      {{400, 655}, {50, 10'000'000}},  // a few of chance among many that are certain
      {{9000, 640}, {900, 6400}, {9, 64000}},
  };
  for (std::size_t i = 0; i < populations.size(); ++i) {
    const Coverage coverage = coverage_of(populations[i], kInterval);
    EXPECT_GE(coverage.count, 0.94) << "population " << i;
    EXPECT_GE(coverage.bytes, 0.94) << "population " << i;
  }
}

TEST(Estimate, BytesHoldWhereASizeIsHardlyEverSampled) {
  // Two of the small blocks are sampled on average, and none in a trial of eight.
  EXPECT_GE(coverage_of({{2000, 64}, {100, 4096}, {3, 100'000}}, 65536).bytes, 0.94);
}

TEST(Estimate, OneSampleHasTheExactLimitsOfAPoissonCount) {
  // A block of 64 bytes that stands for 8192.
  const Outstanding one(site(8192, 524288, {1, 0, 8192.0 * 8191, 64.0 * 64 * 8192 * 8191, 0, 0}));
  const auto estimate = one.estimate();
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->samples, 1U);
  EXPECT_LT(estimate->count.low, 0.0254 * 8192);  // the cube root is cautious so far down
  EXPECT_GE(estimate->count.low, 1U) << "what was seen is there";
  EXPECT_NEAR(static_cast<double>(estimate->count.high), 5.572 * 8192, 0.01 * 8192);
  EXPECT_NEAR(static_cast<double>(estimate->bytes.high), 5.572 * 524288, 0.01 * 524288);
}

TEST(Estimate, ManySamplesHaveNormalLimits) {
  const double n = 10'000;
  const double w = 100;
  const Outstanding many(
      site(1'000'000, 16'000'000, {10'000, 0, n * w * (w - 1), 256 * n * w * (w - 1), 0, 0}));
  const auto estimate = many.estimate();
  ASSERT_TRUE(estimate);
  const double half = 1.96 * std::sqrt(n * w * (w - 1));
  EXPECT_NEAR(static_cast<double>(estimate->count.low), 1e6 - half, 0.03 * half);
  EXPECT_NEAR(static_cast<double>(estimate->count.high), 1e6 + half, 0.03 * half);
  EXPECT_NEAR(static_cast<double>(estimate->bytes.high), 16e6 + 16 * half, 16 * 0.03 * half);
}

TEST(Estimate, WhatIsKnownHasNone) {
  EXPECT_FALSE(Outstanding().estimate());
  EXPECT_FALSE(Outstanding(site(10, 1000, {})).estimate());
  EXPECT_FALSE(Outstanding(site(10, 1 << 30, {12, 2, 0, 0, 0, 0})).estimate())
      << "blocks so large that each was taken for certain";
}

TEST(Estimate, LimitsAreNeverBelowWhatWasSeenNorAboveTheNumbersThereAre) {
  const auto least = Outstanding(site(5, 50, {4, 0, 1e300, 1e300, 0, 0})).estimate();
  ASSERT_TRUE(least);
  EXPECT_GE(least->count.low, 4U);
  EXPECT_GE(least->count.high, 5U);
  const auto most =
      Outstanding(site(UINT64_MAX, UINT64_MAX, {UINT64_MAX, 0, 1e300, 1e300, 0, 0})).estimate();
  ASSERT_TRUE(most);
  EXPECT_LE(most->count.low, most->count.high);
  EXPECT_LE(most->bytes.low, most->bytes.high);
}

TEST(Estimate, CountersThatLostFractionsStillHaveAVariance) {
  // Blocks of one interval each stand for 1.58, and a variance of 0.92 each may be cut to 0.
  const auto estimate = Outstanding(site(158, 158 << 19, {100, 0, 0, 2.5e13, 0, 0})).estimate();
  ASSERT_TRUE(estimate);
  EXPECT_LT(estimate->count.low, 143U);
  EXPECT_GT(estimate->count.high, 174U);
}

TEST(Estimate, ThePresumedReleasedMakeItLessSure) {
  // Exact, but for 600 of 1000 blocks that are presumed released.
  model::Counters counters = site(1000, 64'000, {0, 0, 240, 240.0 * 64 * 64, 600, 38'400});
  const Outstanding exact(counters);
  EXPECT_EQ(exact.count(), 400U);
  const auto estimate = exact.estimate();
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(static_cast<double>(estimate->count.low), 400 - 1.96 * std::sqrt(240), 5);
  EXPECT_NEAR(static_cast<double>(estimate->count.high), 400 + 1.96 * std::sqrt(240), 5);
  EXPECT_NEAR(static_cast<double>(estimate->bytes.high), 64 * (400 + 1.96 * std::sqrt(240)), 320);
  EXPECT_EQ(estimate->unseen_count, 600U);
  EXPECT_EQ(estimate->unseen_bytes, 38'400U);
  // All of them: nothing is left, and nothing is certain.
  counters.estimate.unseen_count = 1000;
  counters.estimate.unseen_bytes = 64'000;
  const auto none = Outstanding(counters).estimate();
  ASSERT_TRUE(none);
  EXPECT_EQ(none->count.low, 0U);
}

TEST(Estimate, SumsAreSurerThanTheirParts) {
  const model::Counters part =
      site(1000, 64'000, {10, 0, 1000.0 * 99, 64.0 * 64 * 1000 * 99, 0, 0});
  Outstanding sum;
  for (int i = 0; i < 100; ++i) sum.add(Outstanding(part));
  sum.add(Outstanding(site(7, 700, {})));  // counted exactly
  EXPECT_EQ(sum.count(), 100'007U);
  const auto estimate = sum.estimate();
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->samples, 1000U);
  const double half = 1.96 * std::sqrt(100 * 1000.0 * 99);
  EXPECT_NEAR(static_cast<double>(estimate->count.low), 100'007 - half, 0.1 * half);
  EXPECT_NEAR(static_cast<double>(estimate->count.high), 100'007 + half, 0.1 * half);
}

TEST(Estimate, OfSingleBlocksIsThatOfTheirCounters) {
  Outstanding blocks;
  for (int i = 0; i < 10; ++i) blocks.add_block(64, 100);
  const Outstanding counters(site(1000, 64'000, {10, 0, 99'000, 64.0 * 64 * 99'000, 0, 0}));
  EXPECT_EQ(blocks.count(), counters.count());
  EXPECT_EQ(blocks.bytes(), counters.bytes());
  EXPECT_EQ(blocks.estimate()->count.high, counters.estimate()->count.high);
  EXPECT_EQ(blocks.estimate()->bytes.low, counters.estimate()->bytes.low);
  Outstanding exact;
  exact.add_block(64, 1);
  EXPECT_FALSE(exact.estimate());
}

TEST(EstimateOfNone, IsWhatWouldRarelyGoUnseen) {
  const Estimate small = estimate_of_none(512 << 10, 64);
  EXPECT_EQ(small.samples, 0U);
  EXPECT_EQ(small.count.low, 0U);
  EXPECT_NEAR(static_cast<double>(small.count.high), 3.689 * 8192, 1);
  EXPECT_NEAR(static_cast<double>(small.bytes.high), 3.689 * (512 << 10), 64);
  // Two of 1 MiB are passed over with the chance e^-4, which is less than 2.5 %.
  EXPECT_EQ(estimate_of_none(512 << 10, 1 << 20).count.high, 1U);
  EXPECT_EQ(estimate_of_none(512 << 10, 2 << 20).bytes.high, 0U);
  EXPECT_EQ(estimate_of_none(1024, 0).count.high, 3777U);
}

}  // namespace
}  // namespace leaktrace::analyze
