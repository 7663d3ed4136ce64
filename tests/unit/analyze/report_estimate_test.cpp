// SPDX-License-Identifier: Apache-2.0
// Reports of traces that sample, or are not attached all the time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"

namespace leaktrace::analyze {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kInterval = 512 * 1024;

/// Site 1 has ten samples, each of which stands for 100 blocks of 64 bytes; site 2 are mappings,
/// which are all seen.
TraceBuilder sampled_trace(double budget_percent = 0) {
  model::TraceStart start;
  start.sampling_bytes = kInterval;
  start.budget_percent = budget_percent;
  TraceBuilder trace;
  trace.start(start).process(1, 100, "server").stack(1, {0x10}).stack(2, {0x20});
  trace.read(10 * kSecond, {{site_key(9), {1, 1, 1, 1, 0}}});
  trace.read(60 * kSecond,
             {{site_key(1), {1500, 96'000, 500, 32'000, kSecond, {15, 5, 99'000, 4.1e8, 0, 0}}},
              {site_key(2, 1, model::Kind::mmap), {3, 12'288, 1, 4096, kSecond}}});
  return trace;
}

model::Snapshot measured(std::uint64_t at_ns, const model::Overhead& overhead) {
  model::Snapshot snapshot;
  snapshot.at_ns = at_ns;
  snapshot.overhead = overhead;
  return snapshot;
}

TEST(SampledReport, AmountsHaveLimitsAndWhatWasCountedHasNone) {
  const auto report = report_of(sampled_trace());
  ASSERT_EQ(report->sites.size(), 2U);
  const ReportSite& sampled = report->sites[0];
  EXPECT_EQ(sampled.outstanding_count, 1000U);
  EXPECT_EQ(sampled.outstanding_bytes, 64'000U);
  ASSERT_TRUE(sampled.estimate);
  EXPECT_EQ(sampled.estimate->samples, 10U);
  EXPECT_LT(sampled.estimate->bytes.low, 32'000U);
  EXPECT_GT(sampled.estimate->bytes.high, 110'000U);
  EXPECT_EQ(report->sites[1].kind, model::Kind::mmap);
  EXPECT_FALSE(report->sites[1].estimate);
}

TEST(SampledReport, TotalsHaveLimitsToo) {
  const auto report = report_of(sampled_trace());
  EXPECT_EQ(report->all_outstanding_bytes, 72'192U);
  ASSERT_TRUE(report->all_estimate);
  EXPECT_EQ(report->all_estimate->bytes.high, report->sites[0].estimate->bytes.high + 8192);
  EXPECT_EQ(report->all_estimate->bytes.low, report->sites[0].estimate->bytes.low + 8192);
  EXPECT_EQ(report->all_estimate->samples, 10U);
}

TEST(SampledReport, NoSampleIsNoProofOfNothing) {
  model::TraceStart start;
  start.sampling_bytes = kInterval;
  TraceBuilder trace;
  trace.start(start).read(kSecond, {{site_key(1), {9000, 576'000, 9000, 576'000, 0, {1, 1}}}});
  const auto none = report_of(trace);
  EXPECT_EQ(none->all_sites, 0U);
  ASSERT_TRUE(none->all_estimate);
  EXPECT_EQ(none->all_estimate->bytes.low, 0U);
  EXPECT_NEAR(static_cast<double>(none->all_estimate->bytes.high), 3.689 * kInterval, 1);
  trace.read(2 * kSecond, {{site_key(2, 1, model::Kind::mmap), {3, 12'288, 1, 4096, kSecond}}});
  const auto mapped = report_of(trace);
  EXPECT_EQ(mapped->all_estimate->bytes.low, 8192U);
  EXPECT_NEAR(static_cast<double>(mapped->all_estimate->bytes.high), 8192 + 3.689 * kInterval, 1);
  ReportOptions only_mappings;
  only_mappings.kinds = {model::Kind::mmap};
  EXPECT_FALSE(report_of(trace, only_mappings)->all_estimate);
}

TEST(SampledReport, ExactTracesHaveNeither) {
  TraceBuilder trace;
  trace.read(kSecond, {{site_key(1), {1, 10, 0, 0, 0}}});
  const auto report = report_of(trace);
  EXPECT_FALSE(report->all_estimate);
  EXPECT_FALSE(report->sites.at(0).estimate);
  EXPECT_EQ(report->sites[0].growth_low, report->sites[0].growth_high);
  EXPECT_EQ(report->sampling_bytes, 0U);
  EXPECT_EQ(report->budget_percent, std::nullopt);
  EXPECT_EQ(report->duty_percent, 100);
}

TEST(SampledReport, GrowthIsAsUnsureAsTheAmount) {
  const auto report = report_of(sampled_trace());
  const ReportSite& site = report->sites.at(0);
  EXPECT_DOUBLE_EQ(site.bytes_per_second, 64'000.0 / 50);
  EXPECT_DOUBLE_EQ(site.growth_low, static_cast<double>(site.estimate->bytes.low) / 50);
  EXPECT_DOUBLE_EQ(site.growth_high, static_cast<double>(site.estimate->bytes.high) / 50);
}

TEST(SampledReport, BudgetIntervalAndOverheadAreTheTraces) {
  TraceBuilder trace = sampled_trace(5);
  trace.apply(measured(100 * kSecond, {.sampling_bytes = 8 * kInterval,
                                       .observed_ns = 37 * kSecond,
                                       .nanoseconds_per_hit = 550,
                                       .percent_of_target_cpu = 4.9}));
  const auto report = report_of(trace);
  EXPECT_EQ(report->sampling_bytes, kInterval);
  EXPECT_EQ(report->sampling_bytes_now, 8 * kInterval);
  EXPECT_EQ(report->budget_percent, 5);
  EXPECT_DOUBLE_EQ(report->duty_percent, 37);
  EXPECT_EQ(report->nanoseconds_per_hit, 550);
  EXPECT_EQ(report->percent_of_target_cpu, 4.9);
}

TEST(SampledReport, WhatGrowsMayHaveGrownUnobservedToo) {
  TraceBuilder observed = sampled_trace();
  TraceBuilder half = sampled_trace();
  half.apply(measured(60 * kSecond, {.observed_ns = 30 * kSecond}));
  const ReportSite all = report_of(observed)->sites.at(0);
  const ReportSite site = report_of(half)->sites.at(0);
  EXPECT_DOUBLE_EQ(site.bytes_per_second, all.bytes_per_second);
  EXPECT_DOUBLE_EQ(site.growth_low, all.growth_low);
  EXPECT_DOUBLE_EQ(site.growth_high, 2 * all.growth_high);
}

TEST(SampledReport, WhatIsPresumedReleasedIsNotOutstanding) {
  TraceBuilder trace;
  trace.read(kSecond, {{site_key(1), {10, 1000, 0, 0, 0}}});
  trace.read(11 * kSecond, {{site_key(1), {20, 2000, 0, 0, 0, {0, 0, 4, 40'000, 15, 1500}}},
                            {site_key(2), {5, 500, 0, 0, 0, {0, 0, 0, 0, 5, 500}}}});
  const auto report = report_of(trace);
  ASSERT_EQ(report->sites.size(), 1U) << "a site of which all is presumed released holds nothing";
  const ReportSite& site = report->sites[0];
  EXPECT_EQ(site.outstanding_bytes, 500U);
  EXPECT_DOUBLE_EQ(site.bytes_per_second, -50);
  ASSERT_TRUE(site.estimate);
  EXPECT_EQ(site.estimate->unseen_bytes, 1500U);
  EXPECT_LT(site.growth_low, -50);
  EXPECT_GT(site.growth_high, -50);
}

TEST(SampledReport, FiltersOfBlocksCountWhatSamplesStandFor) {
  TraceBuilder trace = sampled_trace();
  trace.walk(60 * kSecond, {{site_key(1), 0x1000, 64, 10 * kSecond, 128.5},
                            {site_key(1), 0x2000, 64, 59 * kSecond, 128.5},
                            {site_key(2, 1, model::Kind::mmap), 0x4000, 4096, 10 * kSecond}});
  ReportOptions options;
  options.older_seconds = 15;
  options.show_blocks = true;
  const auto report = report_of(trace, options);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->sites.size(), 2U);
  EXPECT_EQ(report->sites[0].outstanding_count, 129U);
  EXPECT_EQ(report->sites[0].outstanding_bytes, 8224U);
  ASSERT_TRUE(report->sites[0].estimate);
  EXPECT_EQ(report->sites[0].estimate->samples, 1U);
  EXPECT_EQ(report->sites[0].blocks.at(0).stands_for, 128.5);
  EXPECT_FALSE(report->sites[1].estimate);
  EXPECT_THAT(report->filters, HasSubstr("single blocks are samples"));
}

TEST(SampledReport, AWalkThatFoundAllSamplesKnowsTheOldestOfThem) {
  TraceBuilder trace = sampled_trace();
  std::vector<model::Block> blocks;
  for (std::uint64_t i = 0; i < 10; ++i) {
    blocks.push_back({site_key(1), 0x1000 + i, 64, (10 + i) * kSecond, 100});
  }
  trace.walk(60 * kSecond, blocks);
  const ReportSite whole = report_of(trace)->sites.at(0);
  EXPECT_TRUE(whole.oldest_exact);
  EXPECT_DOUBLE_EQ(whole.oldest_seconds, 50);
  blocks.pop_back();
  trace.walk(61 * kSecond, blocks);
  EXPECT_FALSE(report_of(trace)->sites.at(0).oldest_exact);
}

}  // namespace
}  // namespace leaktrace::analyze
