// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/fail_on.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace leaktrace::analyze {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

FailOn condition(std::string_view text) {
  const auto parsed = parse_fail_on(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : FailOn{-1, -1};
}

TEST(FailOn, GrowingAloneHasNoRate) {
  EXPECT_EQ(condition("growing"), FailOn{});
}

TEST(FailOn, RatesWithAUnitAreBytes) {
  const std::vector<std::pair<const char*, double>> cases = {
      {"growing:1K", 1024},
      {"growing:10K/s", 10240},
      {"growing:512B", 512},
      {"growing:512b/s", 512},
      {"growing:1M/h", 1048576. / 3600},
      {"growing:1.5MiB/min", 1.5 * 1048576 / 60},
      {"growing:3gb/d", 3. * (1 << 30) / 86400},
      {"growing:1T", 1099511627776.},
      {"growing:1k/m", 1024. / 60},
      {"growing:0.5K", 512}};
  for (const auto& [text, rate] : cases) {
    EXPECT_THAT(condition(text).bytes_per_second, Optional(testing::DoubleEq(rate))) << text;
    EXPECT_EQ(condition(text).count_per_second, std::nullopt) << text;
  }
}

TEST(FailOn, RatesWithoutAUnitAreCounts) {
  const std::vector<std::pair<const char*, double>> cases = {{"growing:5", 5},
                                                             {"growing:5/s", 5},
                                                             {"growing:10/min", 10. / 60},
                                                             {"growing:1.5/h", 1.5 / 3600},
                                                             {"growing:2/d", 2. / 86400}};
  for (const auto& [text, rate] : cases) {
    EXPECT_THAT(condition(text).count_per_second, Optional(testing::DoubleEq(rate))) << text;
    EXPECT_EQ(condition(text).bytes_per_second, std::nullopt) << text;
  }
}

TEST(FailOn, WhatIsNoConditionIsToldWhatIsOne) {
  for (const char* text : {"",
                           "plateau",
                           "Growing",
                           "growing ",
                           "growing:",
                           "growing:K",
                           "growing:-1K",
                           "growing:+1K",
                           "growing:0",
                           "growing:0K/s",
                           "growing:nan",
                           "growing:inf",
                           "growing:1e3",
                           "growing:1 K",
                           "growing:1KK",
                           "growing:1X",
                           "growing:1KBs",
                           "growing:1K/",
                           "growing:1K/w",
                           "growing:1K/S",
                           "growing:1K/s/s",
                           "growing:1K/10s",
                           "growing:/s",
                           "growing:1,5K",
                           "growing:0x10",
                           "growing=1K",
                           "growingly",
                           "growing:1K,",
                           "growing:.5K"}) {
    const auto parsed = parse_fail_on(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().message(), AllOf(HasSubstr(text), HasSubstr("growing:10K/s")));
  }
  std::string huge = "growing:";
  huge.append(400, '9');
  EXPECT_FALSE(parse_fail_on(huge));
}

TEST(FailOn, TwoRatesMakeOneConditionUnlessTheySpeakOfTheSame) {
  const auto joined = both(condition("growing:1K"), condition("growing:5/s"));
  ASSERT_TRUE(joined);
  EXPECT_EQ(*joined, (FailOn{1024, 5}));
  EXPECT_TRUE(both(condition("growing"), condition("growing")));
  EXPECT_FALSE(both(condition("growing:1K"), condition("growing:2K")));
  EXPECT_FALSE(both(condition("growing:1"), condition("growing:2/h")));
}

ReportSite site(Verdict verdict, double low, model::Kind kind = model::Kind::heap) {
  ReportSite made;
  made.verdict = verdict;
  made.kind = kind;
  made.bytes_per_second = low * 2;
  made.growth_low = low;
  made.growth_high = low * 3;
  made.count_low = low / 100;
  return made;
}

TEST(FailOn, OnlySitesThatGrowAreFlagged) {
  for (const Verdict verdict :
       {Verdict::plateau, Verdict::fluctuating, Verdict::one_off, Verdict::undecided}) {
    EXPECT_FALSE(is_flagged(site(verdict, 1e9), {}));
    EXPECT_FALSE(is_flagged(site(verdict, 1e9), condition("growing:1B")));
  }
  EXPECT_TRUE(is_flagged(site(Verdict::growing, 0.001), {}));
  EXPECT_TRUE(is_flagged(site(Verdict::growing, -5), {}));
}

TEST(FailOn, TheLowerLimitMustReachTheRate) {
  const FailOn kilobyte = condition("growing:1K/s");
  EXPECT_TRUE(is_flagged(site(Verdict::growing, 1024), kilobyte));
  EXPECT_TRUE(is_flagged(site(Verdict::growing, 5000, model::Kind::mmap), kilobyte));
  EXPECT_FALSE(is_flagged(site(Verdict::growing, 1023), kilobyte)) << "its middle is above";
  EXPECT_FALSE(
      is_flagged(site(Verdict::growing, std::numeric_limits<double>::quiet_NaN()), kilobyte));
}

TEST(FailOn, EachRateSpeaksOfItsOwnKinds) {
  const ReportSite cursors = site(Verdict::growing, 200, model::Kind::pg_cursor);  // 2 a second
  const ReportSite blocks = site(Verdict::growing, 200);
  EXPECT_TRUE(is_flagged(cursors, condition("growing:2/s")));
  EXPECT_FALSE(is_flagged(cursors, condition("growing:3/s")));
  EXPECT_TRUE(is_flagged(cursors, condition("growing:1M/s")));
  EXPECT_FALSE(is_flagged(blocks, condition("growing:1M/s")));
  EXPECT_TRUE(is_flagged(blocks, condition("growing:3/s")));
}

TEST(FailOn, FlaggedSitesComeInTheReportsOrder) {
  Report report;
  EXPECT_THAT(flagged_sites(report, {}), IsEmpty());
  report.sites = {site(Verdict::growing, 10), site(Verdict::plateau, 99),
                  site(Verdict::growing, 20)};
  EXPECT_THAT(flagged_sites(report, {}), ElementsAre(&report.sites[0], &report.sites[2]));
  EXPECT_THAT(flagged_sites(report, condition("growing:15B")), ElementsAre(&report.sites[2]));
}

TEST(FailOn, AReportOfUndecidedSitesIsKnownAsOne) {
  Report report;
  EXPECT_FALSE(is_all_undecided(report));
  report.sites = {site(Verdict::undecided, 1), site(Verdict::undecided, 1)};
  EXPECT_TRUE(is_all_undecided(report));
  report.sites.push_back(site(Verdict::one_off, 1));
  EXPECT_FALSE(is_all_undecided(report));
}

}  // namespace
}  // namespace leaktrace::analyze
