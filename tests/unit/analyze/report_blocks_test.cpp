// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"

namespace leaktrace::analyze {
namespace {

using testing::HasSubstr;

/// Site 1 holds three blocks, site 2 one, site 3 none; the walk is at 60 s.
TraceBuilder walked_trace() {
  TraceBuilder trace;
  trace.process(1, 100, "server").stack(1, {0x10}).stack(2, {0x20});
  trace.read(60 * kSecond, {{site_key(1), {5, 1000, 2, 200, 5 * kSecond}},
                            {site_key(2), {1, 64, 0, 0, 50 * kSecond}},
                            {site_key(3), {1, 64, 1, 64, 0}}});
  trace.walk(60 * kSecond, {{site_key(1), 0x1000, 16, 10 * kSecond},
                            {site_key(1), 0x2000, 684, 40 * kSecond},
                            {site_key(1), 0x3000, 100, 59 * kSecond},
                            {site_key(2), 0x4000, 64, 50 * kSecond}});
  return trace;
}

TEST(Blocks, WithoutAWalkTheAgeIsABound) {
  TraceBuilder trace;
  trace.process(1, 100, "server");
  trace.read(60 * kSecond, {{site_key(1), {1, 10, 0, 0, 48 * kSecond}}});
  const auto report = report_of(trace);
  EXPECT_FALSE(report->sites.at(0).oldest_exact);
  EXPECT_DOUBLE_EQ(report->sites[0].oldest_seconds, 12);
}

TEST(Blocks, WithAWalkTheAgeIsExactAndCountersStay) {
  const auto report = report_of(walked_trace());
  ASSERT_EQ(report->sites.size(), 2U);
  EXPECT_TRUE(report->sites[0].oldest_exact);
  EXPECT_DOUBLE_EQ(report->sites[0].oldest_seconds, 50);
  EXPECT_EQ(report->sites[0].outstanding_count, 3U);
  EXPECT_EQ(report->sites[0].outstanding_bytes, 800U);
  EXPECT_TRUE(report->sites[0].blocks.empty());
}

TEST(Blocks, AWalkFromAnotherMomentGivesNoExactAge) {
  TraceBuilder trace = walked_trace();
  trace.read(70 * kSecond, {{site_key(1), {9, 1400, 2, 200, 5 * kSecond}}});
  const auto report = report_of(trace);
  EXPECT_EQ(report->sites.at(0).outstanding_count, 7U);
  EXPECT_FALSE(report->sites[0].oldest_exact);
  EXPECT_DOUBLE_EQ(report->sites[0].oldest_seconds, 65);
}

TEST(Blocks, OlderCountsOnlyBlocksOfThatAge) {
  ReportOptions options;
  options.older_seconds = 15;
  const auto report = report_of(walked_trace(), options);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->sites.size(), 1U);  // site 2's only block is 10 s old
  EXPECT_EQ(report->sites[0].outstanding_count, 2U);
  EXPECT_EQ(report->sites[0].outstanding_bytes, 700U);
  EXPECT_EQ(report->all_outstanding_bytes, 700U);
  EXPECT_EQ(report->sites[0].total.acquired_bytes, 1000U);  // of all blocks
  EXPECT_EQ(report->filters, "blocks that are 15 s old or more");
}

TEST(Blocks, AgesAndSizesThatAreJustTheLimitPass) {
  ReportOptions options;
  options.older_seconds = 50;
  EXPECT_EQ(report_of(walked_trace(), options)->all_outstanding_count, 1U);
  options.older_seconds.reset();
  options.min_size = 64;
  options.max_size = 100;
  const auto report = report_of(walked_trace(), options);
  EXPECT_EQ(report->all_outstanding_count, 2U);
  EXPECT_EQ(report->filters, "blocks of 64 B and more; blocks of 100 B and less");
}

TEST(Blocks, AFilterThatAllPassAgreesWithTheCounters) {
  ReportOptions options;
  options.older_seconds = 0;
  const auto filtered = report_of(walked_trace(), options);
  const auto plain = report_of(walked_trace());
  EXPECT_EQ(filtered->all_sites, plain->all_sites);
  EXPECT_EQ(filtered->all_outstanding_count, plain->all_outstanding_count);
  EXPECT_EQ(filtered->all_outstanding_bytes, plain->all_outstanding_bytes);
}

TEST(Blocks, ShownBlocksComeLargestFirstWithTheirAge) {
  ReportOptions options;
  options.show_blocks = true;
  const auto report = report_of(walked_trace(), options);
  ASSERT_EQ(report->sites.at(0).blocks.size(), 3U);
  EXPECT_EQ(report->sites[0].blocks[0].handle, 0x2000U);
  EXPECT_EQ(report->sites[0].blocks[0].size, 684U);
  EXPECT_DOUBLE_EQ(report->sites[0].blocks[0].age_seconds, 20);
  EXPECT_EQ(report->sites[0].blocks[2].size, 16U);
}

TEST(Blocks, WithoutAWalkOptionsOnBlocksAreAnErrorWithAdvice) {
  TraceBuilder trace;
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}});
  ReportOptions older;
  older.older_seconds = 1;
  ReportOptions least;
  least.min_size = 1;
  ReportOptions most;
  most.max_size = 10;
  ReportOptions list;
  list.show_blocks = true;
  for (const ReportOptions& options : {older, least, most, list}) {
    const auto report = report_of(trace, options);
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().what, HasSubstr("walk"));
    EXPECT_THAT(report.error().advice, HasSubstr("--older"));
  }
}

TEST(Blocks, SizesThatTheTraceWasTakenWithNeedNoWalk) {
  model::TraceStart start;
  start.min_size = 1024;
  start.max_size = 4096;
  TraceBuilder trace;
  trace.start(start).read(kSecond, {{site_key(1), {1, 2000, 0, 0, 0}}});
  ReportOptions options;
  options.min_size = 1024;
  options.max_size = 8192;
  const auto report = report_of(trace, options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->all_outstanding_bytes, 2000U);
  EXPECT_EQ(report->filters, "blocks of 1.0 KiB and more; blocks of 4.0 KiB and less");
  options.min_size = 1025;
  EXPECT_FALSE(report_of(trace, options));
}

TEST(Blocks, AgesOfAnExitedProcessStopAtItsExit) {
  TraceBuilder trace = walked_trace();
  trace.end(1, model::EndReason::exited, 60 * kSecond);
  trace.process(2, 200, "other").read(100 * kSecond, {});
  trace.walk(100 * kSecond, {{site_key(2), 0x4000, 64, 50 * kSecond}});
  ReportOptions options;
  options.show_blocks = true;
  const auto report = report_of(trace, options);
  ASSERT_EQ(report->sites.size(), 1U);
  EXPECT_DOUBLE_EQ(report->sites[0].blocks.at(0).age_seconds, 10);
}

}  // namespace
}  // namespace leaktrace::analyze
