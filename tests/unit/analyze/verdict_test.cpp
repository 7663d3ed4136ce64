// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/verdict.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "tests/series/patterns.h"
#include "tests/series/random.h"
#include "tests/series/scoring.h"

namespace leaktrace::analyze {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kSecond = 1'000'000'000;

struct Held {
  double count = 0;
  double bytes = 0;
  double acquired = 0;
};

/// A site read each second, that holds what `at` says.
model::History history_of(std::uint64_t seconds, const std::function<Held(double)>& at) {
  model::History history;
  for (std::uint64_t i = 1; i <= seconds; ++i) {
    const Held held = at(static_cast<double>(i));
    history.add({.at_ns = i * kSecond,
                 .previous_ns = (i - 1) * kSecond,
                 .count = static_cast<std::uint64_t>(held.count),
                 .bytes = static_cast<std::uint64_t>(held.bytes),
                 .acquired_count = static_cast<std::uint64_t>(held.acquired),
                 .work = 1000 * static_cast<double>(i)});
  }
  return history;
}

SiteVerdict judge_one(const model::History& history, std::uint64_t now = 0,
                      const VerdictOptions& options = {}) {
  const VerdictInput input{&history, now == 0 ? history.last_ns() : now, 0, 1e9};
  return judge({&input, 1}, options).front();
}

model::History leak(std::uint64_t seconds) {
  return history_of(seconds, [](double t) { return Held{10 * t, 1000 * t, 10 * t}; });
}

TEST(Verdict, HasNames) {
  EXPECT_EQ(verdict_name(Verdict::growing), "growing");
  EXPECT_EQ(verdict_name(Verdict::one_off), "one-off");
}

TEST(Verdict, NothingIsSaidOfNothing) {
  const model::History empty;
  const std::vector<VerdictInput> inputs = {{}, {&empty, 5, 0, 0}};
  for (const SiteVerdict& verdict : judge(inputs)) {
    EXPECT_EQ(verdict.verdict, Verdict::undecided);
    EXPECT_EQ(verdict.confidence, 0);
    EXPECT_FALSE(verdict.evidence.empty());
  }
  EXPECT_TRUE(judge({}).empty());
}

TEST(Verdict, AFewReadingsAreTooFew) {
  EXPECT_EQ(judge_one(leak(1)).verdict, Verdict::undecided);
  EXPECT_EQ(judge_one(leak(5)).verdict, Verdict::undecided);
}

TEST(Verdict, WhatAProgramDoesInItsFirstSecondsIsNoLeak) {
  EXPECT_EQ(judge_one(leak(18)).verdict, Verdict::undecided);
  EXPECT_EQ(judge_one(leak(18), 0, {.least_seconds = 10}).verdict, Verdict::growing);
}

TEST(Verdict, ALeakGrowsWithItsRateAndEvidence) {
  const SiteVerdict verdict = judge_one(leak(600));
  EXPECT_EQ(verdict.verdict, Verdict::growing);
  EXPECT_GT(verdict.confidence, 0.99);
  EXPECT_NEAR(verdict.bytes_per_second, 1000, 5);
  EXPECT_LE(verdict.bytes_low, 1000.5);
  EXPECT_GE(verdict.bytes_high, 999.5);
  EXPECT_NEAR(verdict.count_per_second, 10, 0.1);
  EXPECT_THAT(verdict.evidence, HasSubstr("floor rose in "));
  EXPECT_THAT(verdict.evidence, HasSubstr("all blocks of"));
  EXPECT_THAT(verdict.evidence, HasSubstr("B/s"));
}

TEST(Verdict, KindsWithoutBytesAreJudgedByNumber) {
  const SiteVerdict verdict = judge_one(history_of(600, [](double t) {
    return Held{std::floor(t / 5), 0, t};
  }));
  EXPECT_EQ(verdict.verdict, Verdict::growing);
  EXPECT_EQ(verdict.bytes_per_second, 0);
  EXPECT_NEAR(verdict.count_per_second, 0.2, 0.01);
  EXPECT_THAT(verdict.evidence, HasSubstr("floor of the number rose"));
}

TEST(Verdict, SmallBlocksThatLeakBesideLargeOnesAreSeenByNumber) {
  series::Random random(1);
  const SiteVerdict verdict = judge_one(history_of(600, [&](double t) {
    return Held{t + std::fmod(t, 7), 16 * t + (10 + random.normal()) * 1e7, 20 * t};
  }));
  EXPECT_EQ(verdict.verdict, Verdict::growing);
  EXPECT_THAT(verdict.evidence, HasSubstr("of the number"));
}

TEST(Verdict, WhatCameInOneGoIsOneOff) {
  const auto history = history_of(300, [](double t) { return t < 100 ? Held{} : Held{1, 1e8, 1}; });
  EXPECT_EQ(judge_one(history).verdict, Verdict::one_off);
  EXPECT_THAT(judge_one(history).evidence, HasSubstr("one go"));
}

TEST(Verdict, ALevelIsAPlateau) {
  const auto history = history_of(600, [](double t) {
    return Held{1000 + std::fmod(t * 37, 20), 1e6 + std::fmod(t * 37, 20) * 100, t * 50};
  });
  EXPECT_EQ(judge_one(history).verdict, Verdict::plateau);
}

TEST(Verdict, ASawtoothFluctuates) {
  const auto history = history_of(900, [](double t) {
    return Held{std::fmod(t, 60) * 10, std::fmod(t, 60) * 1e4, t * 10};
  });
  EXPECT_EQ(judge_one(history).verdict, Verdict::fluctuating);
}

TEST(Verdict, ASiteThatVanishesHasStopped) {
  const auto history = leak(600);
  EXPECT_EQ(judge_one(history, 605 * kSecond).verdict, Verdict::growing);
  EXPECT_NE(judge_one(history, 1200 * kSecond).verdict, Verdict::growing);
}

TEST(Verdict, AClockThatStepsBackDoesNotHideALeak) {
  auto history = leak(300);
  for (std::uint64_t i = 1; i <= 300; ++i) {
    history.add({.at_ns = (100 + i) * kSecond,
                 .previous_ns = (i == 1 ? 300 : 99 + i) * kSecond,
                 .count = 3000 + 10 * i,
                 .bytes = 300'000 + 1000 * i,
                 .acquired_count = 3000 + 10 * i});
  }
  const SiteVerdict verdict = judge_one(history);
  EXPECT_EQ(verdict.verdict, Verdict::growing);
  EXPECT_NEAR(verdict.bytes_per_second, 1000, 20);
}

TEST(Verdict, ANightAsleepDoesNotDiluteTheRate) {
  auto history = leak(300);
  for (std::uint64_t i = 1; i <= 300; ++i) {
    history.add({.at_ns = (30'000 + i) * kSecond,
                 .previous_ns = (i == 1 ? 300 : 29'999 + i) * kSecond,
                 .count = 3000 + 10 * i,
                 .bytes = 300'000 + 1000 * i,
                 .acquired_count = 3000 + 10 * i});
  }
  const SiteVerdict verdict = judge_one(history);
  EXPECT_EQ(verdict.verdict, Verdict::growing);
  EXPECT_NEAR(verdict.bytes_per_second, 1000, 20);
}

TEST(Verdict, CountersThatBeginAnewAreNoLeakUntilTheyGrowBeyond) {
  auto history = history_of(300, [](double) { return Held{50, 50'000, 900}; });
  for (std::uint64_t i = 301; i <= 330; ++i) {
    history.add({.at_ns = i * kSecond,
                 .previous_ns = (i - 1) * kSecond,
                 .count = i - 300,
                 .bytes = (i - 300) * 1000,
                 .acquired_count = i - 300});
  }
  EXPECT_NE(judge_one(history).verdict, Verdict::growing);
}

TEST(Verdict, UnsureReadingsWidenTheIntervalAndMayHideTheRise) {
  const auto with_variance = [](double variance) {
    model::History history;
    for (std::uint64_t i = 1; i <= 600; ++i) {
      history.add({.at_ns = i * kSecond,
                   .previous_ns = (i - 1) * kSecond,
                   .count = i,
                   .bytes = i * 1000,
                   .acquired_count = i,
                   .count_variance = variance,
                   .bytes_variance = variance * 1e6});
    }
    return judge_one(history);
  };
  EXPECT_EQ(with_variance(0).verdict, Verdict::growing);
  EXPECT_EQ(with_variance(400).verdict, Verdict::growing);
  EXPECT_GT(with_variance(400).bytes_high, with_variance(0).bytes_high + 50);
  EXPECT_NE(with_variance(400'000).verdict, Verdict::growing);
}

TEST(Verdict, RandomWalksAreAccusedNoMoreOftenThanIsSaid) {
  constexpr std::size_t kSites = 2000;
  series::Random random(11);
  std::vector<model::History> histories(kSites);
  std::vector<VerdictInput> inputs;
  for (model::History& history : histories) {
    double level = 1e4;
    for (std::uint64_t i = 1; i <= 400; ++i) {
      level = std::abs(level + 100 * random.normal());
      history.add({.at_ns = i * kSecond,
                   .previous_ns = (i - 1) * kSecond,
                   .count = static_cast<std::uint64_t>(level),
                   .bytes = static_cast<std::uint64_t>(level) * 100,
                   .acquired_count = i * 1000});
    }
    inputs.push_back({&history, history.last_ns(), 0, 0});
  }
  int accused = 0;
  for (const SiteVerdict& verdict : judge(inputs)) {
    accused += verdict.verdict == Verdict::growing ? 1 : 0;
  }
  EXPECT_LE(accused, 2);
}

void expect_sound(const SiteVerdict& verdict) {
  for (const double value :
       {verdict.confidence, verdict.bytes_per_second, verdict.bytes_low, verdict.bytes_high,
        verdict.count_per_second, verdict.count_low, verdict.count_high}) {
    EXPECT_TRUE(std::isfinite(value));
  }
  EXPECT_GE(verdict.confidence, 0);
  EXPECT_LE(verdict.confidence, 1);
  EXPECT_LE(verdict.bytes_low, verdict.bytes_per_second);
  EXPECT_LE(verdict.bytes_per_second, verdict.bytes_high);
  EXPECT_LE(verdict.count_low, verdict.count_high);
  EXPECT_FALSE(verdict.evidence.empty());
  EXPECT_EQ(verdict.evidence.find("nan"), std::string::npos) << verdict.evidence;
  EXPECT_EQ(verdict.evidence.find("inf"), std::string::npos) << verdict.evidence;
}

TEST(Verdict, GarbageGivesNumbersAllTheSame) {
  std::mt19937_64 random(3);
  std::vector<model::History> histories(3000);
  std::vector<VerdictInput> inputs;
  for (model::History& history : histories) {
    const std::uint64_t style = random() % 4;
    const std::uint64_t readings = random() % 80;
    for (std::uint64_t i = 0; i < readings; ++i) {
      const auto any = [&] { return random() >> (random() % 64); };
      const std::uint64_t at = style == 0 ? any() : style == 1 ? 7 : (i + 1) * kSecond;
      history.add({.at_ns = at,
                   .previous_ns = style == 3 ? i * kSecond : any(),
                   .count = any(),
                   .bytes = style == 2 ? UINT64_MAX : any(),
                   .acquired_count = any(),
                   .count_variance = random() % 2 == 0 ? NAN : 1e308,
                   .bytes_variance = random() % 2 == 0 ? HUGE_VAL : -1,
                   .observed = NAN,
                   .work = random() % 2 == 0 ? NAN : static_cast<double>(any())});
    }
    inputs.push_back({&history, random(), random(), random() % 2 == 0 ? NAN : HUGE_VAL});
  }
  for (const SiteVerdict& verdict : judge(inputs)) expect_sound(verdict);
}

TEST(Verdict, EveryPatternGivesNumbersAtAnyTime) {
  for (const series::Pattern& pattern : series::patterns()) {
    for (const double share : {0.003, 0.05, 0.3}) {
      model::History history;
      const auto input = series::read(series::play(pattern, 77, share), history);
      expect_sound(judge({&input, 1}).front());
    }
  }
}

TEST(LabelledSet, IsTheSameEachTime) {
  for (const series::Pattern& pattern : series::patterns()) {
    const auto once = series::play(pattern, 5, 0.05);
    const auto again = series::play(pattern, 5, 0.05);
    ASSERT_EQ(once.readings.size(), again.readings.size()) << pattern.name;
    if (once.readings.empty()) continue;
    EXPECT_EQ(once.readings.back().bytes, again.readings.back().bytes) << pattern.name;
  }
}

TEST(LabelledSet, IsJudgedRightOnTheReportingSeeds) {
  const auto scores = series::score(series::kReporting);
  ASSERT_GE(scores.size(), 40U);
  for (const series::Score& score : scores) {
    if (score.wrong.empty()) continue;
    fmt::print("{:32} growing in {} of {}; {}\n", score.pattern, score.growing, score.runs,
               score.wrong);
  }
  const series::Total sum = series::total(scores);
  fmt::print("precision {:.4f}, recall {:.4f}\n", sum.precision().value, sum.recall().value);
  EXPECT_GE(sum.precision().value, 0.99);
  EXPECT_GE(sum.recall().value, 0.98);
}

}  // namespace
}  // namespace leaktrace::analyze
