// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/analyze/report_builder.h"

namespace leaktrace::analyze {
namespace {

const std::string kServer = "/usr/bin/server";
constexpr std::uint64_t kInterval = 512 * kKiB;

std::vector<ReportFrame> at(const std::string& function, std::uint64_t offset = 0x10,
                            const std::string& build = "aa") {
  return {frame_of(kServer, build, function, offset)};
}

Diff diff_of(ReportBuilder& older, ReportBuilder& newer, std::optional<std::size_t> top = {}) {
  return diff_recordings({"old.ltr", older.report()}, {"new.ltr", newer.report()},
                         {.top = top, .tool_version = "0.1.0"});
}

/// The only site of the difference between one site and another of the same code.
DiffSite only_site(const ReportSite& before, const ReportSite& now, const Report& like = {}) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  for (ReportBuilder* builder : {&older, &newer}) {
    builder->report().sampling_bytes_now = like.sampling_bytes_now;
    builder->report().budget_percent = like.budget_percent;
    builder->report().duty_percent = like.duty_percent;
  }
  older.report().sites = {before};
  newer.report().sites = {now};
  newer.report().sites.front().pid = 200;
  return diff_of(older, newer).sites.at(0);
}

ReportSite holding(std::uint64_t count, std::uint64_t bytes, model::Kind kind = model::Kind::heap) {
  return ReportBuilder().site(at("leak"), count, bytes, kind);
}

/// As so many samples of blocks much smaller than the interval give it.
ReportSite sampled(std::uint64_t samples, Limits bytes) {
  ReportSite site = holding(samples * 1000, samples * kInterval);
  site.estimate =
      Estimate{.samples = samples, .count = {bytes.low / 500, bytes.high / 500}, .bytes = bytes};
  return site;
}

std::vector<std::string> labels(const Diff& diff) {
  std::vector<std::string> out;
  for (const DiffSite& site : diff.sites) out.push_back(site.site.label);
  return out;
}

TEST(Diff, SaysWhatChanged) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(at("grows", 1), 10, 1000);
  newer.site(at("grows", 1), 30, 3000);
  older.site(at("shrinks", 2), 10, 500);
  newer.site(at("shrinks", 2), 4, 200);
  older.site(at("goes", 3), 1, 64);
  newer.site(at("comes", 4), 2, 128);
  older.site(at("stays", 5), 1, 16);
  newer.site(at("stays", 5), 1, 16);
  const Diff diff = diff_of(older, newer);
  EXPECT_THAT(labels(diff), testing::ElementsAre("grows", "comes", "shrinks", "goes", "stays"));
  EXPECT_EQ(diff.sites[0].change, DiffChange::grew);
  EXPECT_EQ(diff.sites[0].amounts.bytes_difference(), 2000);
  EXPECT_EQ(diff.sites[0].amounts.count_difference(), 20);
  EXPECT_EQ(diff.sites[1].change, DiffChange::appeared);
  EXPECT_EQ(diff.sites[1].amounts.older.sites, 0U);
  EXPECT_EQ(diff.sites[2].change, DiffChange::shrank);
  EXPECT_EQ(diff.sites[2].amounts.bytes_difference(), -300);
  EXPECT_EQ(diff.sites[3].change, DiffChange::gone);
  EXPECT_EQ(diff.sites[4].change, DiffChange::same);
  for (const DiffSite& site : diff.sites) {
    EXPECT_FALSE(site.within_sampling);
    EXPECT_FALSE(site.by_names);
    EXPECT_FALSE(site.amounts.bytes_limits);
  }
  EXPECT_TRUE(diff.older.report.sites.empty());
}

TEST(Diff, KindsAreAddedUpApart) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(at("f"), 1, 100, model::Kind::heap);
  newer.site(at("f"), 2, 200, model::Kind::heap);
  newer.site(at("f"), 1, 4096, model::Kind::mmap);
  newer.site(at("g", 0x20), 3, 300, model::Kind::heap);
  const Diff diff = diff_of(older, newer);
  const DiffKind& heap = diff.kinds.at(model::Kind::heap);
  EXPECT_EQ(heap.amounts.older.bytes, 100U);
  EXPECT_EQ(heap.amounts.newer.bytes, 500U);
  EXPECT_EQ(heap.amounts.newer.sites, 2U);
  EXPECT_EQ(heap.changes.at(DiffChange::grew).bytes, 100);
  EXPECT_EQ(heap.changes.at(DiffChange::appeared).sites, 1U);
  EXPECT_EQ(heap.changes.count(DiffChange::gone), 0U);
  EXPECT_EQ(diff.kinds.at(model::Kind::mmap).changes.at(DiffChange::appeared).bytes, 4096);
}

TEST(Diff, PostgresIsComparedInNumberAndComesLast) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(at("query"), 5, 900, model::Kind::pg_result);
  newer.site(at("query"), 9, 100, model::Kind::pg_result);
  newer.site(at("scan", 0x30), 2, 0, model::Kind::pg_cursor);
  newer.site(at("small", 0x40), 1, 1);
  const Diff diff = diff_of(older, newer);
  EXPECT_THAT(labels(diff), testing::ElementsAre("small", "query", "scan"));
  EXPECT_EQ(diff.sites[1].change, DiffChange::grew);
}

TEST(Diff, BlocksOfZeroBytesCount) {
  EXPECT_EQ(only_site(holding(1, 0), holding(7, 0)).change, DiffChange::grew);
  EXPECT_EQ(only_site(holding(7, 0), holding(7, 0)).change, DiffChange::same);
}

TEST(Diff, SitesOfSeveralProcessesAreOne) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(at("leak"), 1, 100).bytes_per_second = 10;
  older.target(101, "server").site(at("leak"), 2, 200).bytes_per_second = 20;
  newer.site(at("leak"), 4, 400);
  const Diff diff = diff_of(older, newer);
  ASSERT_EQ(diff.sites.size(), 1U);
  EXPECT_EQ(diff.sites[0].amounts.older.sites, 2U);
  EXPECT_EQ(diff.sites[0].amounts.older.bytes, 300U);
  EXPECT_DOUBLE_EQ(diff.sites[0].amounts.older.bytes_per_second, 30);
  EXPECT_EQ(diff.sites[0].amounts.bytes_difference(), 100);
  EXPECT_FALSE(diff.sites[0].by_names);
}

TEST(Diff, OfARebuiltProgramLinesOfOneFunctionAreTakenTogether) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(at("leak", 0x10, "aa"), 1, 100);
  older.site(at("leak", 0x18, "aa"), 1, 50);
  newer.site(at("leak", 0x20, "bb"), 3, 400);
  older.site(at("removed", 0x80, "aa"), 1, 7);
  // Nobody to meet: these two stay apart.
  newer.site(at("added", 0x90, "bb"), 1, 5);
  newer.site(at("added", 0x98, "bb"), 1, 6);
  const Diff diff = diff_of(older, newer);
  EXPECT_THAT(labels(diff), testing::ElementsAre("leak", "added", "added", "removed"));
  EXPECT_TRUE(diff.sites[0].by_names);
  EXPECT_EQ(diff.sites[0].amounts.older.sites, 2U);
  EXPECT_EQ(diff.sites[0].amounts.bytes_difference(), 250);
  EXPECT_EQ(diff.sites[0].site.stack[0].offset, 0x20U);
}

TEST(Diff, OneProgramHasOneName) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.report().targets.front().comm = "server-1";
  newer.report().targets.front().comm = "server-2";
  older.report().targets.front().exe = "/opt/server-1";
  older.site(at("gone"), 1, 1).comm = "server-1";
  EXPECT_EQ(diff_of(older, newer).sites.at(0).site.comm, "server-2");
}

TEST(Diff, TopCutsEachPartOfTheListNotTheTotals) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    newer.site(at("up" + std::to_string(i), i), 1, i);
    older.site(at("down" + std::to_string(i), 100 + i), 1, i);
  }
  const Diff diff = diff_of(older, newer, 2);
  EXPECT_THAT(labels(diff), testing::ElementsAre("up5", "up4", "down5", "down4"));
  EXPECT_EQ(diff.kinds.at(model::Kind::heap).changes.at(DiffChange::appeared).sites, 5U);
}

// Of n samples against m the exact test (conditional binomial) says: 0 against 5 may be chance, 0
// against 6 is not, on the level of 5 %.
TEST(Diff, ASampledSiteThatIsMissingMayHaveBeenThere) {
  for (const auto& [samples, low, changed] :
       {std::tuple(1U, 0.0253, false), std::tuple(5U, 1.623, false), std::tuple(6U, 2.202, true)}) {
    ReportBuilder older(100);
    ReportBuilder newer(200);
    older.report().sampling_bytes_now = newer.report().sampling_bytes_now = kInterval;
    newer.report().sites = {
        sampled(samples, {static_cast<std::uint64_t>(low * kInterval), 13 * kInterval})};
    const DiffSite site = diff_of(older, newer).sites.at(0);
    EXPECT_EQ(site.change, changed ? DiffChange::appeared : DiffChange::same) << samples;
    EXPECT_EQ(site.within_sampling, !changed) << samples;
  }
}

TEST(Diff, WhatIsLargeAgainstTheIntervalIsMissedByNoChance) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.report().sampling_bytes_now = newer.report().sampling_bytes_now = kInterval;
  ReportSite& site = newer.site(at("big"), 1, 16 * 1024 * kKiB);
  site.estimate = Estimate{.samples = 1, .count = {1, 1}, .bytes = {16 << 20, 16 << 20}};
  EXPECT_EQ(diff_of(older, newer).sites.at(0).change, DiffChange::appeared);
}

TEST(Diff, ADifferenceWithinItsLimitsIsNone) {
  const ReportSite few = sampled(4, {570'000, 5'370'000});
  const ReportSite some = sampled(7, {1'475'000, 7'560'000});
  const ReportSite many = sampled(40, {15'000'000, 28'600'000});
  const DiffSite same = only_site(few, some);
  EXPECT_EQ(same.change, DiffChange::same);
  EXPECT_TRUE(same.within_sampling);
  EXPECT_LT(same.amounts.bytes_limits->low, 0);
  const DiffSite grew = only_site(few, many);
  EXPECT_EQ(grew.change, DiffChange::grew);
  EXPECT_GT(grew.amounts.bytes_limits->low, 0);
  EXPECT_EQ(only_site(many, few).change, DiffChange::shrank);
}

TEST(Diff, AnExactAmountAgainstAnEstimate) {
  const ReportSite estimate = sampled(4, {570'000, 5'370'000});
  EXPECT_TRUE(only_site(holding(10, 3'000'000), estimate).within_sampling);
  EXPECT_EQ(only_site(holding(10, 9'000'000), estimate).change, DiffChange::shrank);
}

TEST(Diff, MappingsAreNotSampled) {
  Report like;
  like.sampling_bytes_now = kInterval;
  EXPECT_EQ(
      only_site(holding(1, 4096, model::Kind::mmap), holding(2, 8192, model::Kind::mmap), like)
          .change,
      DiffChange::grew);
}

TEST(Diff, PausesAlikeDoNotHideAChange) {
  Report like;
  like.budget_percent = 5;
  like.duty_percent = 10;
  const DiffSite site = only_site(holding(10, 1000), holding(20, 2000), like);
  EXPECT_EQ(site.change, DiffChange::grew);
  EXPECT_EQ(site.amounts.bytes_limits->low, 1000);
  EXPECT_EQ(site.amounts.bytes_limits->high, 10'000);
}

TEST(Diff, PausesOfAnotherLengthMay) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.report().budget_percent = newer.report().budget_percent = 5;
  older.report().duty_percent = 20;
  newer.report().duty_percent = 80;
  older.site(at("leak"), 10, 1000);
  newer.site(at("leak"), 20, 2000);
  const DiffSite site = diff_of(older, newer).sites.at(0);
  EXPECT_EQ(site.change, DiffChange::same);
  EXPECT_TRUE(site.within_sampling);
}

TEST(Diff, HugeAmountsSaturate) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(difference(0, kMost), INT64_MAX);
  EXPECT_EQ(difference(kMost, 0), -INT64_MAX);
  EXPECT_EQ(saturating_sum(INT64_MAX, 1), INT64_MAX);
  EXPECT_EQ(saturating_sum(INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(only_site(holding(1, 0), holding(kMost, kMost)).change, DiffChange::grew);
}

TEST(Diff, OfNothingIsNothing) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  const Diff diff = diff_of(older, newer);
  EXPECT_TRUE(diff.sites.empty());
  EXPECT_TRUE(diff.kinds.empty());
}

}  // namespace
}  // namespace leaktrace::analyze
