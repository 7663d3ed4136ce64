// SPDX-License-Identifier: Apache-2.0
#include "user/model/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <vector>

namespace leaktrace::model {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

Reading reading(std::uint64_t second, std::uint64_t bytes, std::uint64_t acquired = 0) {
  return {.at_ns = second * kSecond,
          .previous_ns = (second > 1 ? second - 1 : 0) * kSecond,
          .count = bytes / 10,
          .bytes = bytes,
          .acquired_count = acquired,
          .work = static_cast<double>(second) * 100};
}

std::vector<Window> windows(const History& history, Resolution resolution = Resolution::whole) {
  std::vector<Window> out;
  history.windows(resolution, out);
  return out;
}

History walk(std::uint64_t seconds, std::vector<double>* bytes = nullptr) {
  std::mt19937_64 random(seconds);
  History history;
  std::uint64_t level = 100'000;
  for (std::uint64_t i = 1; i <= seconds; ++i) {
    level = std::max<std::uint64_t>(1000, level + random() % 401 - 200);
    history.add(reading(i, level, i * 7));
    if (bytes != nullptr) bytes->push_back(static_cast<double>(level));
  }
  return history;
}

TEST(History, IsEmptyAtFirst) {
  const History history;
  EXPECT_TRUE(history.empty());
  EXPECT_TRUE(windows(history).empty());
  EXPECT_TRUE(history.as_of(5 * kSecond, 0).empty());
}

TEST(History, NeverTakesMoreThanItMay) {
  for (const std::uint64_t seconds : {1U, 5U, 21U, 100U, 5000U, 300'000U}) {
    EXPECT_LE(walk(seconds).memory(), History::kMaxBytes) << seconds;
  }
}

TEST(History, ASiteThatIsReadOnceTakesLittle) {
  EXPECT_LE(walk(1).memory(), 1100U);
}

TEST(History, WholeReachesFromTheBeginningToTheEndForAnyLength) {
  for (const std::uint64_t seconds : {30U, 1000U, 86'400U, 2'600'000U}) {
    const auto whole = windows(walk(seconds));
    EXPECT_GE(whole.size(), 10U) << seconds;
    EXPECT_LE(whole.size(), 20U) << seconds;
    EXPECT_LT(whole.front().start, 1.0);
    EXPECT_NEAR(whole.back().end, static_cast<double>(seconds - 1), 0.1) << seconds;
  }
}

TEST(History, WindowsHoldTheLeastTheMostAndTheLastOfTheirReadings) {
  std::vector<double> bytes;
  const History history = walk(3000, &bytes);
  for (const Resolution resolution : kResolutions) {
    double acquired = 0;
    for (const Window& window : windows(history, resolution)) {
      const auto first = static_cast<std::ptrdiff_t>(std::lround(window.start));
      const auto last = static_cast<std::ptrdiff_t>(std::lround(window.end));
      const auto [least, most] =
          std::minmax_element(bytes.begin() + first, bytes.begin() + last + 1);
      EXPECT_EQ(window.floor_bytes, *least);
      EXPECT_EQ(window.max_bytes, *most);
      EXPECT_EQ(window.last_bytes, bytes[static_cast<std::size_t>(last)]);
      EXPECT_EQ(window.floor_count, std::floor(*least / 10));
      acquired += window.acquired;
    }
    if (resolution == Resolution::whole) {
      EXPECT_EQ(acquired, 2999 * 7);
    }
  }
}

TEST(History, FinerResolutionsEndWithTheNewestReading) {
  const History history = walk(100'000);
  const double end = windows(history).back().end;
  double width = history.width(Resolution::whole);
  for (const Resolution finer : {Resolution::near, Resolution::recent, Resolution::newest}) {
    const auto fine = windows(history, finer);
    EXPECT_EQ(fine.size(), 8U);
    EXPECT_EQ(fine.back().end, end);
    EXPECT_LT(history.width(finer), width);
    width = history.width(finer);
  }
}

TEST(History, ReadingsThatAreLeftOutBecauseNothingChangedMakeNoDifference) {
  History all;
  History some;
  std::uint64_t level = 0;
  for (std::uint64_t second = 1; second <= 2000; ++second) {
    const bool changes = second % 97 == 1 || second % 53 == 1;
    if (changes) level += 1000;
    all.add(reading(second, level, level));
    if (changes) some.add(reading(second, level, level));
  }
  const History now = some.as_of(2000 * kSecond, 2000 * 100.0);
  const auto expected = windows(all);
  const auto found = windows(now);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].floor_bytes, expected[i].floor_bytes) << i;
    EXPECT_EQ(found[i].max_bytes, expected[i].max_bytes) << i;
    EXPECT_EQ(found[i].last_bytes, expected[i].last_bytes) << i;
    EXPECT_EQ(found[i].acquired, expected[i].acquired) << i;
    EXPECT_NEAR(found[i].end, expected[i].end, 1.1) << i;
  }
}

TEST(History, AsOfLeavesTheHistoryAlone) {
  const History history = walk(50);
  const auto before = windows(history);
  const History later = history.as_of(5000 * kSecond, 1e6);
  EXPECT_EQ(windows(history).size(), before.size());
  EXPECT_NEAR(later.watched_seconds(), 4999, 0.1);
  EXPECT_EQ(windows(later).back().floor_bytes, before.back().last_bytes);
  EXPECT_EQ(windows(later).back().acquired, 0);
  EXPECT_LE(later.memory(), History::kMaxBytes);
}

TEST(History, AsOfAnEarlierTimeChangesNothing) {
  const History history = walk(50);
  EXPECT_EQ(history.as_of(3 * kSecond, 0).watched_seconds(), history.watched_seconds());
}

TEST(History, ASiteThatIsNewInAnOldProcessHeldNothingBefore) {
  History history;
  history.add(reading(100, 5000, 5));
  EXPECT_EQ(history.first_ns(), 99 * kSecond);
  EXPECT_EQ(history.first_bytes(), 0U);
  EXPECT_EQ(windows(history).front().floor_bytes, 0);
  EXPECT_EQ(windows(history).back().max_bytes, 5000);
}

TEST(History, WhatWasThereAtTheFirstReadingOfTheProcessIsTheBase) {
  History history;
  history.add({.at_ns = 100 * kSecond, .count = 1, .bytes = 5000, .acquired_count = 9});
  EXPECT_EQ(history.first_bytes(), 5000U);
  EXPECT_EQ(windows(history).front().floor_bytes, 5000);
  EXPECT_EQ(windows(history).front().acquired, 0);
}

TEST(History, AClockThatStepsBackAddsNoTime) {
  History history = walk(100);
  const double watched = history.watched_seconds();
  history.add({.at_ns = 20 * kSecond,
               .previous_ns = 100 * kSecond,
               .count = 1,
               .bytes = 1,
               .acquired_count = 701});
  EXPECT_EQ(history.watched_seconds(), watched);
  EXPECT_EQ(windows(history).back().floor_bytes, 1);
  history.add({.at_ns = 21 * kSecond,
               .previous_ns = 20 * kSecond,
               .count = 2,
               .bytes = 2,
               .acquired_count = 702});
  EXPECT_NEAR(history.watched_seconds(), watched + 1, 0.1);
}

TEST(History, ReadingsAtOneTimeJoin) {
  History history;
  for (std::uint64_t i = 0; i < 100; ++i) {
    history.add({.at_ns = kSecond, .count = i, .bytes = 100 - i, .acquired_count = i});
  }
  const auto whole = windows(history);
  ASSERT_EQ(whole.size(), 1U);
  EXPECT_EQ(whole.front().floor_bytes, 1);
  EXPECT_EQ(whole.front().max_bytes, 100);
  EXPECT_EQ(whole.front().start, whole.front().end);
}

TEST(History, NoWindowIsMadeForAGap) {
  History history = walk(100);
  const std::uint64_t night = 8 * 3600;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    Reading next = reading(100 + night + i, 7777, 701 + i);
    if (i == 1) next.previous_ns = 100 * kSecond;
    history.add(next);
  }
  EXPECT_NEAR(history.watched_seconds(), 199, 1);
  for (const Window& window : windows(history)) EXPECT_LE(window.end, 200);
}

TEST(History, AnIntervalThatBecameLongerIsNotAGapForEver) {
  History history = walk(100);
  std::uint64_t at = 100;
  for (int i = 0; i < 50; ++i) {
    Reading next = reading(at + 60, 7777, 1000);
    next.previous_ns = at * kSecond;
    history.add(next);
    at += 60;
  }
  EXPECT_GT(history.watched_seconds(), 99 + 45 * 60);
}

TEST(History, WhereTheTotalsFallTheSiteHeldNothingBetween) {
  History history;
  for (std::uint64_t i = 1; i <= 10; ++i) history.add(reading(i, 5000, 100 + i));
  for (std::uint64_t i = 11; i <= 20; ++i) history.add(reading(i, 6000, i));
  double least = 1e9;
  double acquired = 0;
  for (const Window& window : windows(history)) {
    least = std::min(least, window.floor_bytes);
    acquired += window.acquired;
  }
  EXPECT_EQ(least, 0);
  EXPECT_EQ(acquired, 9 + 20);
}

TEST(History, OctavesHoldTheLeastOfEachDoublingOfTime) {
  History history;
  for (std::uint64_t i = 1; i <= 1025; ++i) history.add(reading(i, i * 100, i));
  std::vector<double> octaves;
  history.octaves(octaves);
  ASSERT_GE(octaves.size(), 10U);
  for (std::size_t i = 3; i + 1 < octaves.size(); ++i) {
    EXPECT_NEAR(octaves[i + 1] / octaves[i], 2, 0.3) << i;
  }
}

TEST(History, RoundingMakesNothingRise) {
  History history;
  for (std::uint64_t i = 1; i <= 40; ++i) history.add(reading(i, (1ULL << 40) - i, i));
  double before = HUGE_VAL;
  for (const Window& window : windows(history)) {
    EXPECT_LE(window.floor_bytes, before);
    before = window.floor_bytes;
  }
}

TEST(History, GarbageMakesNoNonsense) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    History history;
    for (int i = 0; i < 100; ++i) {
      const auto any = [&] { return random() >> (random() % 64); };
      history.add({.at_ns = any(),
                   .previous_ns = any(),
                   .count = any(),
                   .bytes = any(),
                   .acquired_count = any(),
                   .count_variance = i % 3 == 0 ? NAN : 1e300,
                   .bytes_variance = i % 5 == 0 ? HUGE_VAL : -1,
                   .observed = i % 7 == 0 ? NAN : 2,
                   .work = i % 2 == 0 ? NAN : HUGE_VAL});
    }
    const History now = history.as_of(random(), NAN);
    EXPECT_LE(now.memory(), History::kMaxBytes);
    EXPECT_TRUE(std::isfinite(now.bytes_variance()) && std::isfinite(now.observed()));
    for (const Resolution resolution : kResolutions) {
      double end = 0;
      for (const Window& window : windows(now, resolution)) {
        EXPECT_LE(end, window.start);
        EXPECT_LE(window.start, window.end);
        EXPECT_LE(window.floor_bytes, window.max_bytes);
        for (const double value :
             {window.floor_bytes, window.max_bytes, window.last_bytes, window.floor_count,
              window.max_count, window.last_count, window.acquired, window.work, window.end}) {
          EXPECT_TRUE(std::isfinite(value) && value >= 0);
        }
        end = window.end;
      }
    }
  }
}

TEST(History, AReadingCostsAsMuchAfterAMonthAsAtFirst) {
  History history;
  const auto time_of = [&](std::uint64_t from, std::uint64_t to) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = from; i < to; ++i) history.add(reading(i, i % 1000, i));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    return taken.count() / static_cast<double>(to - from);
  };
  const double first = time_of(1, 100'000);
  (void)time_of(100'000, 2'500'000);
  const double last = time_of(2'500'000, 2'600'000);
  EXPECT_LT(last, 5 * first + 1e-7);
  EXPECT_LT(last, 5e-6);
}

}  // namespace
}  // namespace leaktrace::model
