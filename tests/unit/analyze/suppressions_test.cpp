// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/suppressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "user/analyze/report.h"
#include "user/analyze/top_sites.h"

namespace leaktrace::analyze {
namespace {

using std::chrono::day;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr sys_days kToday = year(2026) / month(6) / day(15);

ReportFrame frame(const std::string& function, const std::string& module = "/usr/bin/server",
                  const std::string& source = "") {
  return {{function, source, 1, false}, module, "", 0, 0};
}

ReportSite site(const std::string& label, std::vector<ReportFrame> stack,
                model::Kind kind = model::Kind::heap) {
  ReportSite made;
  made.label = label;
  made.kind = kind;
  made.stack = std::move(stack);
  made.outstanding_count = 2;
  made.outstanding_bytes = 100;
  return made;
}

/// Five sites, the first three by the heap.
Report report() {
  Report made;
  made.sites = {
      site("cache", {frame("operator new(unsigned long)", "/usr/lib/libstdc++.so.6"),
                     frame("app::Cache::fill(int)", "/usr/bin/server", "/src/cache.cpp"),
                     frame("main", "/usr/bin/server", "/src/main.cpp")}),
      site("driver", {frame("malloc", "/usr/lib/libc.so.6"), frame("", "/usr/lib/libdriver.so.1"),
                      frame("main", "/usr/bin/server", "/src/main.cpp")}),
      site("lost", {}),
      site("map", {frame("mmap", "/usr/lib/libc.so.6"), frame("arena_init")}, model::Kind::mmap),
      site("scan", {frame("PQexec", "/usr/lib/libpq.so.5"), frame("scan")},
           model::Kind::pg_cursor)};
  made.all_sites = 4;
  made.all_outstanding_bytes = 400;
  return made;
}

SuppressionRule rule(const std::string& function) {
  SuppressionRule made;
  if (!function.empty()) made.function = *Glob::parse(function);
  made.reason = "known";
  made.entry = "file:1";
  return made;
}

std::vector<std::string> left(Report& from, std::vector<SuppressionRule> rules) {
  Suppressions(std::move(rules)).apply(from, kToday);
  std::vector<std::string> labels;
  for (const ReportSite& kept : from.sites) labels.push_back(kept.label);
  return labels;
}

std::vector<std::string> left(std::vector<SuppressionRule> rules) {
  Report from = report();
  return left(from, std::move(rules));
}

TEST(Suppressions, WithoutRulesLeaveEverything) {
  Report from = report();
  EXPECT_EQ(left(from, {}).size(), 5U);
  EXPECT_THAT(from.suppressed, IsEmpty());
  EXPECT_EQ(from.suppressed_sites, 0U);
}

TEST(Suppressions, FitAnyFrame) {
  EXPECT_THAT(left({rule("main")}), ElementsAre("lost", "map", "scan"));
  EXPECT_THAT(left({rule("app::Cache::fill")}), ElementsAre("driver", "lost", "map", "scan"));
  EXPECT_THAT(left({rule("nothing")}), ElementsAre("cache", "driver", "lost", "map", "scan"));
}

TEST(Suppressions, InnermostIsTheFrameThatNamesTheSiteAndWhatItCalls) {
  SuppressionRule innermost = rule("main");
  innermost.innermost = true;
  EXPECT_THAT(left({innermost}), ElementsAre("cache", "driver", "lost", "map", "scan"));
  innermost = rule("app::*");
  innermost.innermost = true;
  EXPECT_THAT(left({innermost}), ElementsAre("driver", "lost", "map", "scan"));
  innermost = rule("operator new*");
  innermost.innermost = true;
  EXPECT_THAT(left({innermost}), ElementsAre("driver", "lost", "map", "scan"));
}

TEST(Suppressions, AllPatternsFitOneAndTheSameFrame) {
  SuppressionRule both = rule("app::Cache::fill");
  both.source = *Glob::parse("cache.cpp");
  EXPECT_THAT(left({both}), ElementsAre("driver", "lost", "map", "scan"));
  both.source = *Glob::parse("main.cpp");
  EXPECT_EQ(left({both}).size(), 5U);
  SuppressionRule module = rule("");
  module.module = *Glob::parse("libdriver.so*");
  EXPECT_THAT(left({module}), ElementsAre("cache", "lost", "map", "scan"));
}

TEST(Suppressions, WhatHasNoNameFitsNoPattern) {
  SuppressionRule any = rule("*");
  any.module = *Glob::parse("libdriver*");
  EXPECT_EQ(left({any}).size(), 5U);  // the driver's frame has no function
  EXPECT_THAT(left({rule("*")}), ElementsAre("lost"));
}

TEST(Suppressions, KindsNarrowOrStandAlone) {
  SuppressionRule kind = rule("");
  kind.kinds = {model::Kind::mmap, model::Kind::pg_cursor};
  EXPECT_THAT(left({kind}), ElementsAre("cache", "driver", "lost"));
  kind = rule("main");
  kind.kinds = {model::Kind::mmap};
  EXPECT_EQ(left({kind}).size(), 5U);
}

TEST(Suppressions, AmountsGoToTheFirstRuleThatFits) {
  Report from = report();
  const auto kept = left(from, {rule("main"), rule("app::*"), rule("scan"), rule("nothing")});
  EXPECT_THAT(kept, ElementsAre("lost", "map"));
  ASSERT_EQ(from.suppressed.size(), 4U);
  const SuppressionUse& first = from.suppressed[0];
  EXPECT_EQ(first.entry, "file:1");
  EXPECT_EQ(first.reason, "known");
  EXPECT_EQ(first.state, SuppressionState::matched);
  EXPECT_EQ(first.sites, 2U);
  EXPECT_EQ(first.outstanding_count, 4U);
  EXPECT_EQ(first.outstanding_bytes, 200U);
  // It fits a site, so it is not useless, though the first has taken that.
  EXPECT_EQ(from.suppressed[1].state, SuppressionState::matched);
  EXPECT_EQ(from.suppressed[1].sites, 0U);
  EXPECT_EQ(from.suppressed[2].postgres_count, 2U);
  EXPECT_EQ(from.suppressed[2].outstanding_bytes, 0U);
  EXPECT_EQ(from.suppressed[3].state, SuppressionState::unmatched);
  EXPECT_EQ(from.suppressed_sites, 2U);
  EXPECT_EQ(from.all_sites, 4U);
  EXPECT_EQ(from.all_outstanding_bytes, 400U);
}

TEST(Suppressions, CountThroughTheDayOnWhichTheyExpire) {
  SuppressionRule last = rule("main");
  last.expires = year(2026) / month(6) / day(15);
  Report from = report();
  EXPECT_EQ(left(from, {last}).size(), 3U);
  EXPECT_EQ(from.suppressed[0].expires, "2026-06-15");
  last.expires = year(2026) / month(6) / day(14);
  from = report();
  EXPECT_EQ(left(from, {last}).size(), 5U);
  EXPECT_EQ(from.suppressed[0].state, SuppressionState::expired);
  EXPECT_EQ(from.suppressed[0].sites, 0U);
}

TEST(Suppressions, AnExpiredRuleLeavesItsSitesToTheNext) {
  SuppressionRule old = rule("main");
  old.expires = year(2020) / month(2) / day(29);
  Report from = report();
  EXPECT_EQ(left(from, {old, rule("main")}).size(), 3U);
  EXPECT_EQ(from.suppressed[0].state, SuppressionState::expired);
  EXPECT_EQ(from.suppressed[1].sites, 2U);
}

TEST(Suppressions, MayBeAppliedAgain) {
  const Suppressions suppressions({rule("main")});
  Report from = report();
  suppressions.apply(from, kToday);
  suppressions.apply(from, kToday);
  ASSERT_EQ(from.suppressed.size(), 1U);
  EXPECT_EQ(from.suppressed[0].state, SuppressionState::unmatched);
}

TEST(TopSites, OfMemoryAndOfTheRestAreKept) {
  Report from = report();
  keep_top(from, 1);
  ASSERT_EQ(from.sites.size(), 2U);
  EXPECT_EQ(from.sites[0].label, "cache");
  EXPECT_EQ(from.sites[1].label, "scan");
  keep_top(from, 0);
  EXPECT_THAT(from.sites, IsEmpty());
}

}  // namespace
}  // namespace leaktrace::analyze
