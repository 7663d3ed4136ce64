// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "user/model/trace.h"

namespace leaktrace::model {
namespace {

Series series_of(std::uint64_t length) {
  Series series;
  for (std::uint64_t i = 0; i < length; ++i) series.add({i, i, i * 10});
  return series;
}

TEST(Series, KeepsAFewPointsAsTheyAre) {
  const Series series = series_of(3);
  ASSERT_EQ(series.points().size(), 3U);
  EXPECT_EQ(series.points()[2].at_ns, 2U);
  EXPECT_EQ(series.points()[2].bytes, 20U);
}

TEST(Series, MemoryIsBoundedForAnyLength) {
  for (std::uint64_t length : {64U, 65U, 1000U, 100000U}) {
    const Series series = series_of(length);
    EXPECT_LE(series.points().size(), 64U) << length;
    EXPECT_GE(series.points().size(), 32U) << length;
  }
}

TEST(Series, KeepsTheFirstPointAndReachesCloseToTheLast) {
  const std::uint64_t length = 100000;
  const Series series = series_of(length);
  EXPECT_EQ(series.points().front().at_ns, 0U);
  EXPECT_GE(series.points().back().at_ns, length - length / 32);
}

TEST(Series, KeptPointsAreEvenlySpaced) {
  const Series series = series_of(5000);
  const auto& points = series.points();
  const std::uint64_t step = points[1].at_ns - points[0].at_ns;
  for (std::size_t i = 1; i < points.size(); ++i) {
    EXPECT_EQ(points[i].at_ns - points[i - 1].at_ns, step) << "at point " << i;
  }
}

}  // namespace
}  // namespace leaktrace::model
