// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/growth.h"

#include <gtest/gtest.h>

namespace leaktrace::analyze {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMiB = 1024 * 1024;

model::Site site_of(std::vector<model::Reading> readings) {
  model::Site site;
  for (const model::Reading& reading : readings) site.history.add(reading);
  site.counters.acquired_count = readings.back().count;
  site.counters.acquired_bytes = readings.back().bytes;
  return site;
}

TEST(Change, IsFirstToLastOverThePeriod) {
  const model::Site site = site_of(
      {{kSecond, 0, 1, kMiB}, {30 * kSecond, 0, 9, 9 * kMiB}, {61 * kSecond, 0, 7, 7 * kMiB}});
  const Change change = change_of(site, {kSecond, 61 * kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), 6.0 * kMiB / 60);
  EXPECT_DOUBLE_EQ(change.count_per_second(), 0.1);
}

TEST(Change, WhatStartUpAcquiredIsNoGrowth) {
  const Change change = change_of(site_of({{kSecond, 0, 5, kMiB}}), {kSecond, 61 * kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), 0);
}

TEST(Change, ASiteThatAppearsLaterBeganAtZero) {
  const Change change = change_of(site_of({{31 * kSecond, 0, 1, 600}}), {kSecond, 61 * kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), 10);
}

TEST(Change, ItCanFall) {
  const Change change = change_of(site_of({{0, 0, 4, 4096}, {kSecond, 0, 1, 1024}}), {0, kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), -3072);
}

TEST(Change, BlocksOfZeroBytesAreCounted) {
  const Change change = change_of(site_of({{0, 0, 1, 0}, {kSecond, 0, 11, 0}}), {0, kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), 0);
  EXPECT_DOUBLE_EQ(change.count_per_second(), 10);
}

TEST(Change, OneReadingTellsNoRate) {
  const Change change = change_of(site_of({{kSecond, 0, 3, 300}}), {kSecond, kSecond});
  EXPECT_DOUBLE_EQ(change.bytes_per_second(), 0);
}

TEST(Change, TheNewestCountersCountWhereTheHistoryHasNotSeenThem) {
  model::Site site = site_of({{0, 0, 1, 100}});
  site.counters.acquired_bytes = 400;
  EXPECT_DOUBLE_EQ(change_of(site, {0, 3 * kSecond}).bytes_per_second(), 100);
}

}  // namespace
}  // namespace leaktrace::analyze
