// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "user/model/trace.h"

namespace leaktrace::model {
namespace {

constexpr SiteKey kIdle{{0xabc}, {1}, Kind::heap};
constexpr SiteKey kIdleMmap{{0xabc}, {1}, Kind::mmap};
constexpr SiteKey kHeld{{0xdef}, {1}, Kind::heap};
constexpr SiteKey kRecycledHeap{kRecycledStack, {1}, Kind::heap};

Trace trace_with_an_idle_stack() {
  Trace trace;
  trace.apply(Stack{{0xabc}, {1}, StackEnd::complete, {}});
  trace.apply(Stack{{0xdef}, {1}, StackEnd::complete, {}});
  trace.apply(Snapshot{1, {{kIdle, {4, 40, 4, 40, 1}}, {kIdleMmap, {1, 4096, 1, 4096, 1}}}, {}, 0});
  trace.apply(Snapshot{2, {{kHeld, {3, 30, 1, 10, 2}}}, {}, 0});
  return trace;
}

Counters sum(const Trace& trace) {
  Counters sum;
  for (const auto& [key, site] : trace.sites()) {
    sum.acquired_count += site.counters.acquired_count;
    sum.acquired_bytes += site.counters.acquired_bytes;
    sum.released_count += site.counters.released_count;
    sum.released_bytes += site.counters.released_bytes;
  }
  return sum;
}

TEST(Recycled, StackAndSitesAreGoneAndTheSumsStayWhole) {
  Trace trace = trace_with_an_idle_stack();
  const Counters before = sum(trace);
  trace.apply(Recycled{3, {{0xabc}}});
  EXPECT_EQ(trace.stack({0xabc}), nullptr);
  EXPECT_NE(trace.stack({0xdef}), nullptr);
  EXPECT_FALSE(trace.sites().contains(kIdle));
  EXPECT_FALSE(trace.sites().contains(kIdleMmap));
  EXPECT_EQ(trace.sites().at(kRecycledHeap).counters.acquired_count, 4U);
  EXPECT_EQ(sum(trace), before);
  EXPECT_EQ(trace.recycled_stacks(), 1U);
  EXPECT_EQ(trace.now_ns(), 3U);
}

TEST(Recycled, AStackThatComesBackCountsFromZeroAndTheSumsGoOn) {
  Trace trace = trace_with_an_idle_stack();
  trace.apply(Recycled{3, {{0xabc}}});
  trace.apply(Stack{{0xabc}, {1}, StackEnd::complete, {}});
  trace.apply(Snapshot{4, {{kIdle, {1, 10, 0, 0, 4}}}, {}, 0});
  EXPECT_EQ(trace.sites().at(kIdle).counters.outstanding_bytes(), 10U);
  trace.apply(Snapshot{5, {{kIdle, {1, 10, 1, 10, 4}}}, {}, 0});
  trace.apply(Recycled{6, {{0xabc}}});
  EXPECT_EQ(trace.sites().at(kRecycledHeap).counters, (Counters{5, 50, 5, 50, 4}));
  EXPECT_EQ(trace.recycled_stacks(), 2U);
}

TEST(Recycled, EstimatesStayInTheSums) {
  Trace trace;
  trace.apply(Snapshot{1, {{kIdle, {4, 40, 4, 40, 1, {2, 2, 1.5, 150, 1, 10}}}}, {}, 0});
  trace.apply(Snapshot{2, {{kRecycledHeap, {1, 1, 1, 1, 1, {1, 1, 0.5, 50, 0, 0}}}}, {}, 0});
  trace.apply(Recycled{3, {{0xabc}}});
  EXPECT_EQ(trace.sites().at(kRecycledHeap).counters.estimate, (Estimate{3, 3, 2, 200, 1, 10}));
}

TEST(Recycled, WhenAnImageWasFirstReadIsKept) {
  Trace trace = trace_with_an_idle_stack();
  trace.apply(Recycled{3, {{0xabc}}});
  EXPECT_EQ(trace.readings(kRecycledHeap.image).first_ns, 1U);
  EXPECT_TRUE(trace.sites().at(kRecycledHeap).history.empty());
}

TEST(Recycled, ImagesAreKeptApart) {
  Trace trace;
  const SiteKey other{{0x123}, {2}, Kind::heap};
  trace.apply(Snapshot{1, {{kIdle, {4, 40, 4, 40, 1}}, {other, {1, 1, 1, 1, 1}}}, {}, 0});
  trace.apply(Recycled{2, {{0xabc}, {0x123}}});
  EXPECT_EQ(trace.sites().at(kRecycledHeap).counters.acquired_count, 4U);
  EXPECT_EQ(trace.sites().at({kRecycledStack, {2}, Kind::heap}).counters.acquired_count, 1U);
}

TEST(Recycled, UnknownStacksAndTheRecycledOneItselfChangeNothing) {
  Trace trace = trace_with_an_idle_stack();
  trace.apply(Recycled{3, {{0xabc}}});
  const Counters before = sum(trace);
  trace.apply(Recycled{4, {kRecycledStack, {0x999}, {0xabc}}});
  EXPECT_EQ(sum(trace), before);
  EXPECT_TRUE(trace.sites().contains(kRecycledHeap));
}

}  // namespace
}  // namespace leaktrace::model
