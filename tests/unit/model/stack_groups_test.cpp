// SPDX-License-Identifier: Apache-2.0
//
// Stacks that read the same under two ids are one call site, whatever comes and goes of them.
#include <gtest/gtest.h>

#include "user/model/trace.h"

namespace leaktrace::model {
namespace {

constexpr StackId kFirst{0xa1};
constexpr StackId kAgain{0xa2};  // the same frames, after the library was opened anew
constexpr StackId kOther{0xb1};

Stack stack(StackId id, std::uint64_t offset, std::uint64_t address = 0x7000, ImageId image = {1}) {
  return {.id = id, .image = image, .end = StackEnd::complete, .frames = {{address, {3}, offset}}};
}

SiteKey site(StackId id, Kind kind = Kind::heap) {
  return {id, {1}, kind};
}

Snapshot snapshot(std::uint64_t at_ns, std::vector<SiteCounters> sites) {
  return {at_ns, std::move(sites), {}, 0};
}

Trace trace_with_both() {
  Trace trace;
  trace.apply(stack(kFirst, 0x10));
  trace.apply(snapshot(1, {{site(kFirst), {4, 40, 1, 10, 1}}}));
  trace.apply(stack(kAgain, 0x10, 0x9000));
  trace.apply(stack(kOther, 0x20));
  trace.apply(snapshot(2, {{site(kAgain), {2, 20, 0, 0, 2}}, {site(kOther), {1, 1, 0, 0, 2}}}));
  return trace;
}

TEST(StackGroups, OneSiteHasTheCountersOfAllStacksThatReadAlike) {
  const Trace trace = trace_with_both();
  EXPECT_EQ(trace.sites().size(), 2U);
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters, (Counters{6, 60, 1, 10, 1}));
  EXPECT_EQ(trace.sites().at(site(kOther)).counters, (Counters{1, 1, 0, 0, 2}));
  EXPECT_EQ(trace.stack(kAgain), trace.stack(kFirst));
  EXPECT_EQ(trace.sites().at(site(kFirst)).history.last_bytes(), 50U);
}

TEST(StackGroups, AReadingOfOnePartLeavesTheOthers) {
  Trace trace = trace_with_both();
  trace.apply(snapshot(3, {{site(kAgain), {5, 50, 5, 50, 2}}}));
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters, (Counters{9, 90, 6, 60, 1}));
}

TEST(StackGroups, KindsStayApart) {
  Trace trace = trace_with_both();
  trace.apply(snapshot(3, {{site(kAgain, Kind::mmap), {1, 4096, 0, 0, 3}}}));
  EXPECT_EQ(trace.sites().at(site(kFirst, Kind::mmap)).counters.acquired_bytes, 4096U);
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters.acquired_bytes, 60U);
}

TEST(StackGroups, BlocksAreOfTheSiteThatStandsForTheirs) {
  Trace trace = trace_with_both();
  trace.apply(Blocks{3, {{site(kAgain), 0x1000, 10, 2}, {site(kOther), 0x2000, 1, 2}}});
  ASSERT_TRUE(trace.blocks());
  EXPECT_EQ(trace.blocks()->blocks[0].site, site(kFirst));
  EXPECT_EQ(trace.blocks()->blocks[1].site, site(kOther));
}

TEST(StackGroups, WhatARecycledStackCountedStaysWhileTheSiteLives) {
  Trace trace = trace_with_both();
  trace.apply(snapshot(3, {{site(kFirst), {4, 40, 4, 40, 1}}}));
  trace.apply(Recycled{4, {kFirst}});
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters, (Counters{6, 60, 4, 40, 2}));
  ASSERT_NE(trace.stack(kAgain), nullptr) << "its frames are still needed";

  // The id comes back and counts from 0.
  trace.apply(stack(kFirst, 0x10));
  trace.apply(snapshot(5, {{site(kFirst), {1, 10, 0, 0, 5}}}));
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters, (Counters{7, 70, 4, 40, 2}));
}

TEST(StackGroups, AnIdThatComesBackWithOtherFramesIsAnotherSite) {
  Trace trace = trace_with_both();
  trace.apply(snapshot(3, {{site(kFirst), {4, 40, 4, 40, 1}}}));
  trace.apply(Recycled{4, {kFirst}});
  trace.apply(stack(kFirst, 0x99));  // code that was compiled anew at the same addresses
  trace.apply(snapshot(5, {{site(kFirst), {1, 7, 0, 0, 5}}}));
  EXPECT_EQ(trace.sites().size(), 3U);
  EXPECT_EQ(trace.stack(kFirst)->frames[0].offset, 0x99U);
  EXPECT_EQ(trace.stack(kAgain)->frames[0].offset, 0x10U);
  EXPECT_EQ(trace.sites().at(site(kFirst)).counters.acquired_bytes, 60U) << "the group of kAgain";
  std::uint64_t bytes = 0;
  for (const auto& [key, of] : trace.sites()) bytes += of.counters.acquired_bytes;
  EXPECT_EQ(bytes, 40U + 20U + 1U + 7U);
}

TEST(StackGroups, WhenTheLastOneIsRecycledTheSiteIsFolded) {
  Trace trace = trace_with_both();
  trace.apply(snapshot(3, {{site(kFirst), {4, 40, 4, 40, 1}}, {site(kAgain), {2, 20, 2, 20, 2}}}));
  trace.apply(Recycled{4, {kFirst, kAgain}});
  EXPECT_FALSE(trace.sites().contains(site(kFirst)));
  EXPECT_EQ(trace.stack(kFirst), nullptr);
  EXPECT_EQ(trace.stack(kAgain), nullptr);
  EXPECT_EQ(trace.sites().at(site(kRecycledStack)).counters.acquired_bytes, 60U);
}

TEST(StackGroups, WithoutAPlaceInAFileTheAddressCounts) {
  Trace trace;
  trace.apply(Stack{kFirst, {1}, StackEnd::no_mapping, {{0x7000, {0}, 0}}});
  trace.apply(Stack{kAgain, {1}, StackEnd::no_mapping, {{0x9000, {0}, 0}}});
  EXPECT_EQ(trace.stack(kAgain)->id, kAgain);
}

TEST(StackGroups, OtherImagesAndOtherEndsAreOtherStacks) {
  Trace trace;
  trace.apply(stack(kFirst, 0x10));
  trace.apply(stack(kAgain, 0x10, 0x7000, {2}));
  Stack cut = stack(kOther, 0x10);
  cut.end = StackEnd::unreadable;
  trace.apply(cut);
  EXPECT_EQ(trace.stack(kAgain)->id, kAgain);
  EXPECT_EQ(trace.stack(kOther)->id, kOther);
}

TEST(StackGroups, AnImageThatIsReplacedTakesItsStacksAlong) {
  Trace trace = trace_with_both();
  trace.apply(ProcessEnd{{1}, EndReason::replaced, 0, 3});
  EXPECT_EQ(trace.stack(kAgain), nullptr);
  trace.apply(stack(kAgain, 0x10));
  EXPECT_EQ(trace.stack(kAgain)->id, kAgain);
}

}  // namespace
}  // namespace leaktrace::model
