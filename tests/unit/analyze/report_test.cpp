// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"

namespace leaktrace::analyze {
namespace {

using model::EndReason;
using testing::ElementsAre;

std::vector<std::string> labels(const Report& report) {
  std::vector<std::string> out;
  for (const ReportSite& site : report.sites) out.push_back(site.label);
  return out;
}

TEST(Report, OfAnEmptyTraceIsEmpty) {
  const auto report = build_report(model::Trace{}, {}, test_namer);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->sites.empty());
  EXPECT_TRUE(report->targets.empty());
  EXPECT_FALSE(report->final);
}

TEST(Report, SitesComeByBytesThenCountThenLabelThenKey) {
  TraceBuilder trace;
  trace.process(1, 100, "server").stack(1, {0x10}).stack(2, {0x20}).stack(3, {0x20, 0x30});
  trace.read(kSecond, {{site_key(3), {1, 10, 0, 0, 0}},
                       {site_key(2), {1, 10, 0, 0, 0}},
                       {site_key(1), {1, 10, 0, 0, 0}},
                       {site_key(4), {2, 10, 0, 0, 0}},
                       {site_key(5), {1, 99, 0, 0, 0}}});
  const auto report = report_of(trace);
  ASSERT_TRUE(report);
  EXPECT_THAT(labels(*report), ElementsAre("(no stack)", "(no stack)", "f10", "f20", "f20"));
  EXPECT_EQ(report->sites[0].outstanding_bytes, 99U);
  EXPECT_EQ(report->sites[1].outstanding_count, 2U);
  EXPECT_EQ(report->all_sites, 5U);
  EXPECT_EQ(report->all_outstanding_count, 6U);
  EXPECT_EQ(report->all_outstanding_bytes, 139U);
}

TEST(Report, TopCutsTiesByLabelAndLeavesTheTotals) {
  TraceBuilder trace;
  trace.process(1, 100, "server").stack(1, {0x20}).stack(9, {0x10});
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}, {site_key(9), {1, 10, 0, 0, 0}}});
  ReportOptions options;
  options.top = 1;
  const auto report = report_of(trace, options);
  ASSERT_TRUE(report);
  EXPECT_THAT(labels(*report), ElementsAre("f10"));
  EXPECT_EQ(report->all_sites, 2U);
  EXPECT_EQ(report->all_outstanding_bytes, 20U);
  options.top = 0;
  EXPECT_TRUE(report_of(trace, options)->sites.empty());
  options.top = 50;
  EXPECT_EQ(report_of(trace, options)->sites.size(), 2U);
}

TEST(Report, TopNamesOnlyWhatItKeeps) {
  TraceBuilder trace;
  std::vector<model::SiteCounters> sites;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    trace.stack(i, {i * 0x100});
    sites.push_back({site_key(i), {1, i, 0, 0, 0}});
  }
  trace.read(kSecond, sites);
  std::size_t asked = 0;
  ReportOptions options;
  options.top = 3;
  const auto report = build_report(trace.trace(), options, [&](const auto&, const auto&) {
    ++asked;
    return std::vector<model::SourceFrame>(1);
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->sites.front().outstanding_bytes, 100U);
  EXPECT_EQ(asked, 3U);
}

TEST(Report, SitesThatHoldNothingAreLeftOutAndZeroByteBlocksAreNot) {
  TraceBuilder trace;
  trace.process(1, 100, "server");
  trace.read(kSecond, {{site_key(1), {5, 50, 5, 50, 0}}, {site_key(2), {5, 0, 2, 0, 0}}});
  const auto report = report_of(trace);
  ASSERT_EQ(report->sites.size(), 1U);
  EXPECT_EQ(report->sites[0].outstanding_count, 3U);
  EXPECT_EQ(report->sites[0].outstanding_bytes, 0U);
  EXPECT_EQ(report->sites[0].total.released_count, 2U);
}

TEST(Report, InlinedFramesAreExpandedWhereTheyAre) {
  TraceBuilder trace;
  trace.process(1, 100, "server").stack(1, {0x20, 0x10, 0x30});
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}});
  const auto report = report_of(trace);
  const ReportSite& site = report->sites.at(0);
  ASSERT_EQ(site.stack.size(), 4U);
  EXPECT_EQ(site.stack[0].source, (model::SourceFrame{"f20", "f.h", 20, true}));
  EXPECT_EQ(site.stack[1].source, (model::SourceFrame{"g20", "g.c", 21, false}));
  EXPECT_EQ(site.stack[2].source.function, "f10");
  EXPECT_EQ(site.stack[3].source.function, "");
  EXPECT_EQ(site.stack[1].module, "/usr/bin/server");
  EXPECT_EQ(site.stack[1].build_id, "ab12");
  EXPECT_EQ(site.stack[1].offset, 0x1FU);  // of the call, not of what follows it
  EXPECT_EQ(site.stack[1].address, 0x550000000020U);
  EXPECT_TRUE(site.stack_complete);
  EXPECT_FALSE(site.stack_missing);
}

TEST(Report, CutAndMissingStacksSaySo) {
  TraceBuilder trace;
  trace.stack(1, {0x10}, model::StackEnd::no_row);
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}, {site_key(0), {1, 9, 0, 0, 0}}});
  const auto report = report_of(trace);
  EXPECT_FALSE(report->sites.at(0).stack_complete);
  EXPECT_EQ(report->sites[0].stack_end, model::StackEnd::no_row);
  EXPECT_FALSE(report->sites[0].stack_missing);
  EXPECT_FALSE(report->sites.at(1).stack_complete);
  EXPECT_TRUE(report->sites[1].stack_missing);
}

TEST(Report, KindsFilterTotalsToo) {
  TraceBuilder trace;
  trace.process(1, 100, "server");
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}},
                       {site_key(1, 1, model::Kind::mmap), {1, 4096, 0, 0, 0}}});
  ReportOptions options;
  options.kinds = {model::Kind::heap};
  const auto report = report_of(trace, options);
  ASSERT_EQ(report->sites.size(), 1U);
  EXPECT_EQ(report->all_outstanding_bytes, 10U);
  EXPECT_EQ(report->filters, "only heap");
  EXPECT_EQ(report_of(trace)->all_outstanding_bytes, 4106U);
}

TEST(Report, TargetsAreProcessesAsTheyAreNow) {
  TraceBuilder trace;
  trace.process(1, 100, "sh").process(2, 200, "worker");
  trace.end(1, EndReason::replaced, kSecond).process(3, 100, "server", kSecond);
  trace.end(2, EndReason::exited, 2 * kSecond, 9);
  trace.process(4, 200, "reused", 3 * kSecond);
  trace.end(77, EndReason::exited, 3 * kSecond);  // its beginning was lost
  const auto report = report_of(trace);
  ASSERT_EQ(report->targets.size(), 2U);
  EXPECT_EQ(report->targets[0].pid, 100U);
  EXPECT_EQ(report->targets[0].comm, "server");
  EXPECT_EQ(report->targets[0].exe, "/usr/bin/server");
  EXPECT_EQ(report->targets[0].cgroup, "/cg");
  EXPECT_FALSE(report->targets[0].exited);
  EXPECT_EQ(report->targets[1].comm, "reused");
  EXPECT_FALSE(report->targets[1].exited);
}

TEST(Report, AnExitedTargetKeepsWhatItHeldAndItsStatus) {
  TraceBuilder trace;
  trace.process(1, 100, "server");
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}});
  trace.end(1, EndReason::exited, 2 * kSecond, 0x300).read(9 * kSecond, {});
  const auto report = report_of(trace);
  ASSERT_EQ(report->targets.size(), 1U);
  EXPECT_TRUE(report->targets[0].exited);
  EXPECT_EQ(report->targets[0].wait_status, 0x300U);
  ASSERT_EQ(report->sites.size(), 1U);
  EXPECT_EQ(report->sites[0].pid, 100U);
  EXPECT_EQ(report->sites[0].comm, "server");
  EXPECT_DOUBLE_EQ(report->sites[0].oldest_seconds, 2);  // ages stop at the exit
}

TEST(Report, RatesAreOfTheProcessesOwnTime) {
  TraceBuilder trace;
  trace.process(1, 100, "early").process(2, 200, "late", 50 * kSecond);
  trace.read(10 * kSecond, {{site_key(1), {1, 100, 0, 0, 0}}});
  trace.read(50 * kSecond, {{site_key(2, 2), {1, 100, 0, 0, 0}}});
  trace.read(60 * kSecond,
             {{site_key(1), {11, 1100, 0, 0, 0}}, {site_key(2, 2), {11, 1000, 0, 0, 0}}});
  const auto report = report_of(trace);
  ASSERT_EQ(report->sites.size(), 2U);
  EXPECT_DOUBLE_EQ(report->sites[0].bytes_per_second, 20);
  EXPECT_DOUBLE_EQ(report->sites[0].count_per_second, 0.2);
  EXPECT_DOUBLE_EQ(report->sites[1].bytes_per_second, 90);
  EXPECT_EQ(report->sites[1].evidence, "outstanding is 1000 B; 2 windows are too few to tell");
  EXPECT_EQ(report->sites[1].verdict, Verdict::undecided);
  EXPECT_EQ(report->sites[1].confidence, 0);
}

TEST(Report, TheHeadIsTheTraces) {
  TraceBuilder trace;
  model::Snapshot snapshot{kSecond, {}, {}, 1000};
  snapshot.losses[7] = 3;
  trace.apply(snapshot).apply(model::TraceEnd{60 * kSecond});
  const auto report = report_of(trace);
  EXPECT_EQ(report->tool_version, "0.1.0");
  EXPECT_EQ(report->start_unix_ns, 1'767'225'600'000'000'000);
  EXPECT_DOUBLE_EQ(report->seconds, 60);
  EXPECT_EQ(report->intervals, 1U);
  EXPECT_EQ(report->probe_hits, 1000U);
  EXPECT_EQ(report->losses[7], 3U);
  EXPECT_TRUE(report->final);
  EXPECT_EQ(report->filters, "");
}

TEST(Report, LossesOfFilesAreTheNewestOfEachFileAndSubject) {
  const model::FileLoss cut{"/lib/b.so", model::FileSubject::unwind, 3, "malformed"};
  const model::FileLoss names{"/lib/b.so", model::FileSubject::symbols, 0, "not an ELF file"};
  const model::FileLoss other{"/lib/a.so", model::FileSubject::unwind, 0, "no room"};
  TraceBuilder builder;
  builder.apply(model::FileLoss{"/lib/b.so", model::FileSubject::unwind, 1, "malformed"});
  builder.apply(cut).apply(names).apply(other);
  const auto report = report_of(builder);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->file_losses, (std::vector<model::FileLoss>{other, cut, names}));
}

TEST(Report, VerdictsHaveTheNamesOfTheContract) {
  EXPECT_EQ(verdict_name(Verdict::growing), "growing");
  EXPECT_EQ(verdict_name(Verdict::plateau), "plateau");
  EXPECT_EQ(verdict_name(Verdict::fluctuating), "fluctuating");
  EXPECT_EQ(verdict_name(Verdict::one_off), "one-off");
  EXPECT_EQ(verdict_name(Verdict::undecided), "undecided");
}

}  // namespace
}  // namespace leaktrace::analyze
