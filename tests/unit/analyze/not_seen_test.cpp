// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/not_seen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"

namespace leaktrace::analyze {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kMillisecond = 1'000'000;

model::ProcessMemory reading(std::uint64_t second, std::uint64_t anonymous_mib,
                             std::uint64_t cpu_ms) {
  model::ProcessMemory memory;
  memory.image = {1};
  memory.at_ns = second * kSecond;
  memory.anonymous_bytes = anonymous_mib * kMiB;
  memory.cpu_ns = cpu_ms * kMillisecond;
  return memory;
}

model::SiteCounters acquired(model::Kind kind, std::uint64_t count, std::uint64_t bytes) {
  return {site_key(1, 1, kind), {.acquired_count = count, .acquired_bytes = bytes}};
}

/// Heap and mappings of a process that grows by 30 MiB from 1 s to 3 s, in 600 ms of CPU time.
TraceBuilder grower(std::vector<model::SiteCounters> sites, std::uint64_t hits,
                    std::uint64_t sampling_bytes = 0) {
  model::TraceStart start;
  start.sampling_bytes = sampling_bytes;
  start.kinds = {model::Kind::heap, model::Kind::mmap};
  TraceBuilder trace;
  trace.start(start)
      .process(1, 10, "server")
      .apply(reading(0, 50, 100))
      .apply(reading(1, 60, 200))
      .apply(reading(2, 75, 500))
      .apply(reading(3, 90, 800))
      .stack(1, {0x10})
      .apply(model::Snapshot{3 * kSecond, std::move(sites), {}, hits});
  return trace;
}

std::vector<model::NotSeen> found(const TraceBuilder& trace) {
  return not_seen(trace.trace());
}

TEST(NotSeen, SaysThatNoProbeFiredInAProcessThatGrew) {
  const auto list = found(grower({}, 0));
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].what, model::UnseenSubject::process);
  EXPECT_EQ(list[0].name, "server (10)");
  EXPECT_EQ(list[0].why,
            "no probe fired in it, though in 2 s it used 0.6 s of CPU time and grew by 30.0 MiB");
}

TEST(NotSeen, DoesNotSayThatNoProbeFiredWhereOneDidSomewhere) {
  const auto list = found(grower({}, 5));
  ASSERT_EQ(list.size(), 1U);
  EXPECT_THAT(list[0].why, HasSubstr("no call that allocates was seen in it, though"));
}

TEST(NotSeen, SaysThatTheHeapWasNotCalledWhereMappingsDoNotExplainTheGrowth) {
  const auto list = found(grower({acquired(model::Kind::mmap, 1, kMiB)}, 1));
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].what, model::UnseenSubject::allocator);
  EXPECT_THAT(list[0].why, HasSubstr("of which 1.0 MiB at most is in mappings that were seen"));
}

TEST(NotSeen, IsSilentWhereMappingsExplainTheGrowth) {
  EXPECT_THAT(found(grower({acquired(model::Kind::mmap, 8, 16 * kMiB)}, 8)), IsEmpty());
}

TEST(NotSeen, IsSilentWhereTheHeapWasCalledOnce) {
  EXPECT_THAT(found(grower({acquired(model::Kind::heap, 1, 10)}, 1)), IsEmpty());
}

TEST(NotSeen, IsSilentWhereSamplingMayHaveMissedIt) {
  EXPECT_THAT(found(grower({}, 9, 4 * kMiB)), IsEmpty());
  EXPECT_EQ(found(grower({}, 9, kMiB)).size(), 1U);
}

TEST(NotSeen, IsSilentWhereTheHeapWasNotTracedOrNobodyKnows) {
  TraceBuilder trace = grower({}, 0);
  model::TraceStart start;
  start.kinds = {model::Kind::mmap};
  EXPECT_THAT(found(trace.start(start)), IsEmpty());
  start.kinds.clear();
  EXPECT_THAT(found(trace.start(start)), IsEmpty());
}

TEST(NotSeen, IsSilentAboutWhatIsIdleOrGrewBeforeItsFirstReadings) {
  model::TraceStart start;
  start.kinds = {model::Kind::heap};
  TraceBuilder idle;
  idle.start(start).process(1, 10, "server");
  for (std::uint64_t second = 0; second < 5; ++second) idle.apply(reading(second, 50, 100));
  EXPECT_THAT(found(idle), IsEmpty());

  TraceBuilder early;
  early.start(start).process(1, 10, "server").apply(reading(0, 1, 10));
  for (std::uint64_t second = 1; second < 5; ++second) early.apply(reading(second, 50, 300));
  EXPECT_THAT(found(early), IsEmpty());

  TraceBuilder twice;
  twice.start(start).process(1, 10, "server").apply(reading(0, 1, 10)).apply(reading(1, 90, 900));
  EXPECT_THAT(found(twice), IsEmpty());
}

TEST(NotSeen, KeepsTheNewestOfWhatWasRecorded) {
  TraceBuilder trace;
  trace.apply(model::NotSeen{model::UnseenSubject::allocator, "/srv/a", "old", ""})
      .apply(model::NotSeen{model::UnseenSubject::allocator, "/srv/a", "new", "do"})
      .apply(model::NotSeen{model::UnseenSubject::process, "/srv/a", "gone", ""});
  const auto list = found(trace);
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].why, "new");
  EXPECT_EQ(list[1].why, "gone");
  EXPECT_EQ(report_of(trace)->not_seen, list);
}

}  // namespace
}  // namespace leaktrace::analyze
