// SPDX-License-Identifier: Apache-2.0
// The arithmetic of sampling (include/leaktrace/sampling.h), against the formulas in floating point
// and by drawing.
#include "leaktrace/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace leaktrace {
namespace {

constexpr std::uint64_t kIntervals[] = {4096, 512U << 10, 1U << 30, LT_LARGEST_INTERVAL};

double chance(std::uint64_t size, std::uint64_t interval) {
  return -std::expm1(-static_cast<double>(size) / static_cast<double>(interval));
}

TEST(Sampling, WeightsAreThoseOfTheFormula) {
  for (const std::uint64_t interval : kIntervals) {
    for (double s = 1; s < 1e13; s *= 1.07) {
      const auto size = static_cast<std::uint64_t>(s);
      const double p = chance(size, interval);
      const double d = static_cast<double>(size);
      const lt_sampling_weight weight = lt_weigh_sample(size, interval);
      EXPECT_NEAR(static_cast<double>(weight.count) / LT_COUNT_UNIT * p, 1, 1e-5)
          << size << " of " << interval;
      EXPECT_NEAR(static_cast<double>(weight.bytes), d / p, 0.5 + 1e-6 * d / p)
          << size << " of " << interval;
    }
  }
}

TEST(Sampling, VariancesAreThoseOfTheFormula) {
  for (const std::uint64_t interval : kIntervals) {
    for (double s = 1; s < 1e13; s *= 1.07) {
      const auto size = static_cast<std::uint64_t>(s);
      const double p = chance(size, interval);
      const lt_sampling_weight weight = lt_weigh_sample(size, interval);
      const double in_units =
          static_cast<double>(weight.bytes_variance) / static_cast<double>(1U << LT_VARIANCE_SHIFT);
      const double x = static_cast<double>(size) / static_cast<double>(interval);
      EXPECT_NEAR(in_units, x * x * (1 - p) / (p * p), 1e-3) << size << " of " << interval;
      const double of_count = (1 - p) / (p * p);
      if (of_count < 1e15) {  // above, it is cut so that sums do not overflow
        EXPECT_NEAR(static_cast<double>(weight.count_variance), of_count, 1 + 1e-3 * of_count);
      }
    }
  }
}

TEST(Sampling, NothingOverflowsAtTheLimits) {
  for (const std::uint64_t interval : {1ULL, 2ULL, LT_LARGEST_INTERVAL}) {
    for (const std::uint64_t size : {0ULL, 1ULL, LT_LARGEST_WEIGHT}) {
      const lt_sampling_weight weight = lt_weigh_sample(size, interval);
      EXPECT_GE(weight.count, LT_COUNT_UNIT - 1U);
      EXPECT_GE(weight.bytes, size);
      EXPECT_LE(weight.count_variance, std::uint64_t{1} << 54);
    }
  }
}

TEST(Sampling, ABlockOfNoBytesStandsForNoBytes) {
  const lt_sampling_weight weight = lt_weigh_sample(0, 4096);
  EXPECT_EQ(weight.bytes, 0U);
  EXPECT_EQ(weight.bytes_variance, 0U);
  EXPECT_EQ(weight.count, lt_weigh_sample(1, 4096).count);
}

TEST(Sampling, DistancesAreExponential) {
  constexpr std::uint64_t kInterval = 512U << 10;
  constexpr int kDraws = 1 << 20;
  // The random numbers evenly, so that the check is of the arithmetic and not of luck.
  double sum = 0;
  std::vector<int> beyond(5);
  for (int i = 0; i < kDraws; ++i) {
    const auto random = static_cast<std::uint32_t>(i) << 12U | 0x800U;
    const std::uint64_t distance = lt_sampling_distance(random, kInterval);
    ASSERT_GE(distance, 1U);
    sum += static_cast<double>(distance);
    for (std::size_t n = 0; n < beyond.size(); ++n) beyond[n] += distance > n * kInterval;
  }
  EXPECT_NEAR(sum / kDraws / kInterval, 1, 1e-4);
  for (std::size_t n = 0; n < beyond.size(); ++n) {
    EXPECT_NEAR(static_cast<double>(beyond[n]) / kDraws, std::exp(-static_cast<double>(n)), 1e-4);
  }
}

// As the programs do it: count bytes down, take the block that crosses the point, draw anew.
TEST(Sampling, EstimatesOfAStreamOfBlocksAreUnbiased) {
  constexpr std::uint64_t kInterval = 64U << 10;
  constexpr int kBlocks = 4'000'000;
  std::mt19937 random(20261121);
  const std::vector<std::uint64_t> sizes = {1, 24, 100, 5000, 40'000, 300'000};
  std::vector<double> count(sizes.size());
  std::vector<double> bytes(sizes.size());
  std::vector<double> variance(sizes.size());
  std::vector<int> truth(sizes.size());
  std::uint64_t left = lt_sampling_distance(static_cast<std::uint32_t>(random()), kInterval);
  for (int i = 0; i < kBlocks; ++i) {
    const std::size_t which = random() % sizes.size();
    ++truth[which];
    if (sizes[which] < left) {
      left -= sizes[which];
      continue;
    }
    left = lt_sampling_distance(static_cast<std::uint32_t>(random()), kInterval);
    const lt_sampling_weight weight = lt_weigh_sample(sizes[which], kInterval);
    count[which] += static_cast<double>(weight.count) / LT_COUNT_UNIT;
    bytes[which] += static_cast<double>(weight.bytes);
    variance[which] += static_cast<double>(weight.count_variance);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double p = chance(sizes[i], kInterval);
    const double sigma = std::sqrt(truth[i] * (1 - p) / p);
    EXPECT_NEAR(count[i], truth[i], 5 * sigma + 1e-4 * truth[i]) << sizes[i];
    const double all_bytes = static_cast<double>(sizes[i]) * truth[i];
    EXPECT_NEAR(bytes[i], all_bytes, 5 * sigma * static_cast<double>(sizes[i]) + 1e-4 * all_bytes);
    // The variance that the samples tell is that of the formula.
    if (variance[i] > 0 && p * truth[i] > 1000) {
      EXPECT_NEAR(std::sqrt(variance[i]) / sigma, 1, 0.2) << sizes[i];
    }
  }
}

}  // namespace
}  // namespace leaktrace
