// SPDX-License-Identifier: Apache-2.0
#include "user/collect/lifetime_hazard.h"

#include <cmath>

#include <gtest/gtest.h>

namespace leaktrace::collect {
namespace {

constexpr double kUnit = 1 << LT_AGE_UNIT_SHIFT;

TEST(AgeClasses, AreThoseOfTheKernelSide) {
  EXPECT_EQ(age_class_of(0), 0U);
  EXPECT_EQ(age_class_of(kUnit - 1), 0U);
  EXPECT_EQ(age_class_of(kUnit), 1U);
  EXPECT_EQ(age_class_of(2 * kUnit - 1), 1U);
  EXPECT_EQ(age_class_of(2 * kUnit), 2U);
  EXPECT_EQ(age_class_of(1e30), kAgeClasses - 1);
  for (std::size_t i = 1; i < kAgeClasses; i++) {
    EXPECT_EQ(age_class_begin(i), age_class_begin(i - 1) + age_class_length(i - 1));
    EXPECT_EQ(age_class_of(age_class_begin(i)), i);
  }
}

TEST(LifetimeHazard, IntegratesItsRates) {
  std::array<double, kAgeClasses> rate{};
  rate[0] = 1 / kUnit;
  rate[2] = 3 / kUnit;
  const LifetimeHazard hazard(rate);
  EXPECT_DOUBLE_EQ(hazard.until(0), 0);
  EXPECT_DOUBLE_EQ(hazard.until(kUnit / 2), 0.5);
  EXPECT_DOUBLE_EQ(hazard.until(1.5 * kUnit), 1);
  EXPECT_DOUBLE_EQ(hazard.until(3 * kUnit), 4);
  EXPECT_DOUBLE_EQ(hazard.until(1e30), 7);
}

TEST(LifetimeEvidence, SaysWhatWasSeenWhereMuchWas) {
  LifetimeEvidence evidence;
  evidence.add_releases(3, 1e6);
  evidence.add_exposure(3, 1e8 * kUnit);
  EXPECT_NEAR(evidence.hazard().rate(3) * kUnit, 0.01, 0.0005);
}

TEST(LifetimeEvidence, BlocksThatAllEndInAClassDoNotSurviveIt) {
  LifetimeEvidence evidence;
  evidence.add_releases(5, 100);
  evidence.add_exposure(5, 100 * age_class_length(5) / 2);
  EXPECT_GT(evidence.hazard().rate(5) * age_class_length(5), 6);
}

TEST(LifetimeEvidence, WatchingWithoutAReleaseLowersTheHazard) {
  LifetimeEvidence evidence;
  const double before = evidence.hazard().until(1000 * kUnit);
  for (std::size_t i = 0; i < kAgeClasses; i++) evidence.add_exposure(i, 20 * age_class_length(i));
  EXPECT_GT(before, 1);
  EXPECT_LT(evidence.hazard().until(1000 * kUnit), 0.1);
}

TEST(LifetimeEvidence, LeansOnWhatIsExpected) {
  const LifetimeEvidence nothing;
  LifetimeEvidence quick;
  quick.add_releases(0, 1000);
  quick.add_exposure(0, 1000 * kUnit / 2);
  EXPECT_GT(nothing.hazard(quick.hazard()).until(4 * kUnit), 2 * nothing.hazard().until(4 * kUnit));
}

TEST(LifetimeEvidence, ForgetsInProportion) {
  LifetimeEvidence evidence;
  evidence.add_releases(4, 1000);
  evidence.add_exposure(4, 5000 * age_class_length(4));
  const double rate = evidence.hazard().rate(4);
  evidence.scale(0.5);
  EXPECT_DOUBLE_EQ(evidence.releases(), 500);
  EXPECT_NEAR(evidence.hazard().rate(4), rate, rate / 10);
}

}  // namespace
}  // namespace leaktrace::collect
