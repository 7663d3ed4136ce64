// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "tests/series/random.h"

namespace leaktrace::analyze {
namespace {

std::vector<double> counted(std::size_t n, double step = 1) {
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = step * static_cast<double>(i);
  return values;
}

TEST(StudentTail, IsThatOfTables) {
  EXPECT_NEAR(student_tail(2.015, 5), 0.05, 1e-4);
  EXPECT_NEAR(student_tail(3.365, 5), 0.01, 1e-4);
  EXPECT_NEAR(student_tail(2.845, 20), 0.005, 1e-4);
  EXPECT_NEAR(student_tail(-2.015, 5), 0.95, 1e-4);
  EXPECT_NEAR(student_tail(0, 9), 0.5, 1e-9);
  EXPECT_EQ(student_tail(HUGE_VAL, 9), 0);
}

TEST(MannKendall, IsExactForShortSeriesInOrder) {
  EXPECT_NEAR(mann_kendall(counted(5)), 1.0 / 120, 1e-12);
  EXPECT_NEAR(mann_kendall(counted(8)), 1.0 / 40320, 1e-12);
}

TEST(MannKendall, FindsNothingInConstantsFallsAndTooLittle) {
  EXPECT_EQ(mann_kendall(std::vector<double>(20, 3.0)), 1);
  EXPECT_EQ(mann_kendall(counted(20, -1)), 1);
  EXPECT_EQ(mann_kendall(counted(3)), 1);
  EXPECT_EQ(mann_kendall({}), 1);
}

TEST(MannKendall, HoldsItsLevelForNoise) {
  series::Random random(1);
  int found = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> noise(15);
    for (double& value : noise) value = random.normal();
    found += mann_kendall(noise) <= 0.05 ? 1 : 0;
  }
  EXPECT_LT(found, 4000 * 0.06);
}

TEST(Drift, HoldsItsLevelForRandomWalksWhereRanksDoNot) {
  series::Random random(2);
  int by_drift = 0;
  int by_ranks = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<double> steps(14);
    std::vector<double> walk(1, 0.0);
    for (double& step : steps) {
      step = random.normal();
      walk.push_back(walk.back() + step);
    }
    by_drift += drift(steps, Increments::of_walk) <= 0.05 ? 1 : 0;
    by_ranks += mann_kendall(walk) <= 0.05 ? 1 : 0;
  }
  EXPECT_LT(by_drift, 4000 * 0.06);
  EXPECT_GT(by_ranks, 4000 * 0.15);
}

TEST(Drift, IsCertainOfEqualSteps) {
  EXPECT_EQ(drift(std::vector<double>(10, 5.0), Increments::only_up), 0);
  EXPECT_EQ(drift(std::vector<double>(10, 0.0), Increments::only_up), 1);
  EXPECT_EQ(drift(std::vector<double>(10, -5.0), Increments::of_walk), 1);
  EXPECT_EQ(drift({}, Increments::of_walk), 1);
}

TEST(ClipToShare, LeavesEvenGrowthAlone) {
  std::vector<double> even(10, 2.0);
  EXPECT_DOUBLE_EQ(clip_to_share(even, 0.2), 20);
}

TEST(ClipToShare, LeavesNothingOfAFewSteps) {
  std::vector<double> steps(12, 0.0);
  steps[2] = 5;
  steps[7] = 9;
  EXPECT_LT(clip_to_share(steps, 0.2), 1e-4);
}

TEST(ClipToShare, KeepsTheLeakUnderASpike) {
  std::vector<double> increments(20, 1.0);
  increments[9] = 1000;
  const double left = clip_to_share(increments, 0.2);
  EXPECT_NEAR(left, 19 / 0.8, 0.01);
  EXPECT_NEAR(increments[9], left * 0.2, 0.01);
}

TEST(TheilSen, FindsALineDespiteOutliers) {
  const auto x = counted(20);
  auto y = counted(20, 3);
  y[5] = 1e6;
  y[11] = -1e6;
  std::vector<double> scratch;
  const Slope slope = theil_sen(x, y, scratch);
  EXPECT_NEAR(slope.value, 3, 1e-9);
  EXPECT_LE(slope.low, 3);
  EXPECT_GE(slope.high, 3);
}

TEST(TheilSen, ItsIntervalHoldsTheTruthAboutAsOftenAsItSays) {
  series::Random random(3);
  int held = 0;
  const auto x = counted(15);
  std::vector<double> scratch;
  for (int i = 0; i < 2000; ++i) {
    auto y = counted(15, 2);
    for (double& value : y) value += 5 * random.normal();
    const Slope slope = theil_sen(x, y, scratch);
    held += slope.low <= 2 && slope.high >= 2 ? 1 : 0;
  }
  EXPECT_GT(held, 2000 * 0.92);
}

TEST(TheilSen, IsZeroWithoutTwoTimes) {
  std::vector<double> scratch;
  const std::vector<double> same(5, 1.0);
  EXPECT_EQ(theil_sen(same, counted(5), scratch).value, 0);
  EXPECT_EQ(theil_sen({}, {}, scratch).high, 0);
}

}  // namespace
}  // namespace leaktrace::analyze
