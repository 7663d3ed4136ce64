// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"

namespace leaktrace::analyze {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;
using testing::Not;
using testing::Optional;

constexpr std::uint64_t kMiB = 1024 * 1024;

model::ProcessMemory reading(std::uint64_t second, std::uint64_t anonymous_mib,
                             std::uint32_t image = 1) {
  model::ProcessMemory memory;
  memory.image = {image};
  memory.at_ns = second * kSecond;
  memory.anonymous_bytes = anonymous_mib * kMiB;
  memory.resident_bytes = (anonymous_mib + 10) * kMiB;
  memory.minor_faults = 256 * anonymous_mib;
  return memory;
}

model::ProcessMemory limited(model::ProcessMemory memory, std::uint64_t mib, std::uint64_t used_mib,
                             const std::string& cgroup) {
  memory.limit = {mib * kMiB, used_mib * kMiB, cgroup};
  return memory;
}

model::SiteCounters holds(model::SiteKey key, std::uint64_t mib) {
  return {key, {.acquired_count = mib, .acquired_bytes = mib * kMiB}};
}

/// A process that grew by 12 MiB in 100 s: 8 at one site, 1 at another, 3 elsewhere.
TraceBuilder grown() {
  TraceBuilder trace;
  trace.process(1, 10, "server")
      .apply(reading(0, 50))
      .stack(1, {0x10})
      .stack(2, {0x20})
      .apply(limited(reading(100, 62), 200, 120, "/app"))
      .read(100 * kSecond, {holds(site_key(1), 8), holds(site_key(2), 1)});
  return trace;
}

TEST(MemoryAccount, SplitsGrowthIntoGrowingSitesOthersAndTheRest) {
  const TraceBuilder trace = grown();
  MemoryAccount account(trace.trace());
  account.add_growing(site_key(1), 0.08 * kMiB);
  const auto memory = account.of({1});
  ASSERT_TRUE(memory);
  EXPECT_DOUBLE_EQ(memory->seconds, 100);
  EXPECT_EQ(memory->growth_bytes, 12 * static_cast<std::int64_t>(kMiB));
  EXPECT_EQ(memory->growing_sites_bytes, 8 * kMiB);
  EXPECT_EQ(memory->growing_sites_high, 8 * kMiB);
  EXPECT_EQ(memory->other_sites_bytes, kMiB);
  EXPECT_EQ(memory->unexplained_bytes, 3 * static_cast<std::int64_t>(kMiB));
  EXPECT_NEAR(memory->minor_faults_per_second, 256.0 * 12 / 100, 1e-9);
  EXPECT_EQ(memory->series.size(), 2U);
  EXPECT_THAT(memory->seconds_to_limit, Optional(DoubleNear(1000, 1e-6)));
}

TEST(MemoryAccount, OfAProcessThatNobodyReadIsNothing) {
  TraceBuilder trace;
  trace.process(1, 10, "server").read(kSecond, {holds(site_key(1), 1)});
  EXPECT_FALSE(MemoryAccount(trace.trace()).of({1}));
}

TEST(MemoryAccount, CountsBlocksThatAreNotTouchedBelowZero) {
  TraceBuilder trace = grown();
  trace.read(101 * kSecond, {holds(site_key(2), 30)});
  const auto memory = MemoryAccount(trace.trace()).of({1});
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->unexplained_bytes, (12 - 8 - 30) * static_cast<std::int64_t>(kMiB));
}

TEST(MemoryAccount, LeavesOutWhatPostgresKindsHold) {
  TraceBuilder trace = grown();
  const model::SiteKey result = site_key(2, 1, model::Kind::pg_result);
  trace.read(101 * kSecond, {holds(result, 5)});
  MemoryAccount account(trace.trace());
  account.add_growing(result, 1e6);
  const auto memory = account.of({1});
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->growing_sites_bytes, 0U);
  EXPECT_EQ(memory->unexplained_bytes, 3 * static_cast<std::int64_t>(kMiB));
  EXPECT_FALSE(memory->seconds_to_limit);
}

TEST(MemoryAccount, SaysWhatGrowingSitesMayHoldWherePartOfTheTimeWasSeen) {
  TraceBuilder trace = grown();
  model::Snapshot snapshot{101 * kSecond, {}, {}, 0};
  snapshot.overhead.observed_ns = snapshot.at_ns / 4;
  trace.apply(snapshot);
  MemoryAccount account(trace.trace());
  account.add_growing(site_key(1), 0.08 * kMiB);
  const auto memory = account.of({1});
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->growing_sites_bytes, 8 * kMiB);
  EXPECT_EQ(memory->growing_sites_high, 32 * kMiB);
}

TEST(MemoryAccount, AddsUpTheRatesOfAllProcessesUnderALimit) {
  TraceBuilder trace = grown();
  trace.process(2, 11, "worker")
      .process(3, 12, "elsewhere")
      .apply(limited(reading(100, 5, 2), 200, 120, "/app"))
      .apply(limited(reading(100, 5, 3), 200, 120, "/other"))
      .read(101 * kSecond, {holds(site_key(1, 2), 1), holds(site_key(1, 3), 1)});
  MemoryAccount account(trace.trace());
  for (const std::uint32_t image : {1U, 2U, 3U}) account.add_growing(site_key(1, image), kMiB);
  EXPECT_THAT(account.of({1})->seconds_to_limit, Optional(DoubleNear(40, 1e-6)));
  EXPECT_THAT(account.of({2})->seconds_to_limit, Optional(DoubleNear(40, 1e-6)));
  EXPECT_THAT(account.of({3})->seconds_to_limit, Optional(DoubleNear(80, 1e-6)));
  EXPECT_THAT(account.seconds_to_limit({1}, 2 * kMiB), Optional(DoubleNear(40, 1e-6)));
}

TEST(MemoryAccount, ForeseesNoLimitWhereNoneIsReached) {
  TraceBuilder trace = grown();
  EXPECT_FALSE(MemoryAccount(trace.trace()).seconds_to_limit({1}, 0));
  EXPECT_FALSE(MemoryAccount(trace.trace()).seconds_to_limit({1}, -5));
  EXPECT_FALSE(MemoryAccount(trace.trace()).seconds_to_limit({1}, 0.01));  // in 266 years
  EXPECT_FALSE(MemoryAccount(trace.trace()).seconds_to_limit({9}, 1e9));
  trace.end(1, model::EndReason::exited, 101 * kSecond);
  EXPECT_FALSE(MemoryAccount(trace.trace()).seconds_to_limit({1}, 1e9));
}

TEST(MemoryAccount, OfAnOverfullCgroupIsFullNow) {
  TraceBuilder trace = grown();
  trace.apply(limited(reading(102, 62), 200, 300, "/app"));
  EXPECT_THAT(MemoryAccount(trace.trace()).seconds_to_limit({1}, 1e6), Optional(0.0));
}

TEST(LimitWords, NameTheLimit) {
  EXPECT_EQ(limit_words({1024 * kMiB, 0, "/app"}), "the limit of cgroup /app (1.0 GiB)");
  EXPECT_EQ(limit_words({24 * 1024 * kMiB, 0, ""}), "the machine's memory (24.0 GiB)");
}

/// A steady leak, one reading a second, whose process has a limit.
TraceBuilder leaking(std::uint64_t seconds) {
  TraceBuilder trace;
  trace.process(1, 10, "server").stack(1, {0x10});
  for (std::uint64_t second = 0; second <= seconds; ++second) {
    trace.apply(limited(reading(second, 50 + second), 1000, 60 + second, "/app"))
        .read(second * kSecond, {holds(site_key(1), second)});
  }
  return trace;
}

TEST(Report, SaysWhenAGrowingSiteReachesTheLimit) {
  const auto report = report_of(leaking(60));
  ASSERT_TRUE(report);
  ASSERT_EQ(report->sites.size(), 1U);
  const ReportSite& site = report->sites.front();
  ASSERT_EQ(site.verdict, Verdict::growing) << site.evidence;
  EXPECT_THAT(site.seconds_to_limit, Optional(DoubleNear(880, 5)));
  EXPECT_THAT(site.evidence,
              HasSubstr("at this rate the limit of cgroup /app (1000.0 MiB) is reached in 14 min"));
  ASSERT_TRUE(report->targets.front().memory);
  EXPECT_EQ(report->targets.front().memory->growing_sites_bytes, 60 * kMiB);
  EXPECT_EQ(report->targets.front().memory->unexplained_bytes, 0);
  EXPECT_TRUE(report->targets.front().memory->seconds_to_limit);
}

TEST(Report, ForeseesNoLimitOfASiteThatIsUndecided) {
  const auto report = report_of(leaking(3));
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->sites.front().seconds_to_limit);
  EXPECT_THAT(report->sites.front().evidence, Not(HasSubstr("limit")));
}

}  // namespace
}  // namespace leaktrace::analyze
