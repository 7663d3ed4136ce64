// SPDX-License-Identifier: Apache-2.0
#include "user/model/trace.h"

#include <gtest/gtest.h>

namespace leaktrace::model {
namespace {

constexpr SiteKey kSite{{0xabc}, {1}, Kind::heap};

Process process(std::uint32_t image, std::uint32_t pid) {
  return {ImageId{image}, pid, "server", "/usr/bin/server", "/", 0};
}

Snapshot snapshot(std::uint64_t at_ns, std::vector<SiteCounters> sites) {
  return {at_ns, std::move(sites), {}, 0};
}

TEST(Counters, OutstandingNeverWrapsBelowZero) {
  Counters counters{3, 300, 1, 100, 0};
  EXPECT_EQ(counters.outstanding_count(), 2U);
  EXPECT_EQ(counters.outstanding_bytes(), 200U);
  counters = {3, 300, 4, 301, 0};
  EXPECT_EQ(counters.outstanding_count(), 0U);
  EXPECT_EQ(counters.outstanding_bytes(), 0U);
}

TEST(Counters, WhatIsPresumedReleasedIsNotOutstanding) {
  Counters counters{30, 3000, 10, 1000, 0, {3, 1, 0, 0, 5, 500}};
  EXPECT_EQ(counters.outstanding_count(), 15U);
  EXPECT_EQ(counters.outstanding_bytes(), 1500U);
  EXPECT_EQ(counters.estimate.outstanding_samples(), 2U);
  counters.estimate.unseen_count = 21;
  EXPECT_EQ(counters.outstanding_count(), 0U);
}

TEST(Trace, HistoryLeavesOutWhatIsPresumedReleased) {
  Trace trace;
  trace.apply(snapshot(1, {{kSite, {10, 100, 0, 0, 0}}}));
  trace.apply(snapshot(2, {{kSite, {10, 100, 0, 0, 0, {1, 0, 0, 0, 4, 40}}}}));
  EXPECT_EQ(trace.sites().at(kSite).history.last_count(), 6U);
  EXPECT_EQ(trace.sites().at(kSite).history.last_bytes(), 60U);
}

TEST(Trace, WorkIsWhatAllSitesOfAProcessHaveAcquired) {
  Trace trace;
  const SiteKey other{{0x77}, kSite.image, Kind::mmap};
  trace.apply(snapshot(1, {{kSite, {10, 100, 0, 0, 0}}}));
  trace.apply(snapshot(2, {{kSite, {15, 100, 3, 0, 0}}, {other, {2, 10, 0, 0, 0}}}));
  trace.apply(snapshot(3, {{kSite, {1, 100, 0, 0, 0}}}));  // it was recycled and came back
  EXPECT_EQ(trace.readings(kSite.image).work, 17);
  EXPECT_EQ(trace.readings(kSite.image).first_ns, 1U);
  EXPECT_EQ(trace.readings(ImageId{99}).work, 0);
}

TEST(Trace, OverheadIsThatOfTheNewestSnapshot) {
  Trace trace;
  EXPECT_EQ(trace.observed_share(), 1);
  Snapshot measured = snapshot(1000, {});
  measured.overhead = {.sampling_bytes = 4096, .observed_ns = 370};
  trace.apply(measured);
  trace.apply(TraceEnd{2000});
  EXPECT_EQ(trace.overhead().sampling_bytes, 4096U);
  EXPECT_DOUBLE_EQ(trace.observed_share(), 0.37) << "of the time that was measured";
  measured.overhead.observed_ns = 1001;
  trace.apply(measured);
  EXPECT_EQ(trace.observed_share(), 1);
}

TEST(Trace, IsEmptyBeforeTheFirstRecord) {
  const Trace trace;
  EXPECT_TRUE(trace.sites().empty());
  EXPECT_TRUE(trace.processes().empty());
  EXPECT_FALSE(trace.blocks());
  EXPECT_FALSE(trace.ended());
  EXPECT_EQ(trace.module(ModuleId{1}), nullptr);
  EXPECT_EQ(trace.stack(StackId{1}), nullptr);
  EXPECT_EQ(trace.names(ModuleId{1}, 0), nullptr);
}

TEST(Trace, HoldsTheNewestCountersOfASiteAndItsHistory) {
  Trace trace;
  trace.apply(snapshot(1, {{kSite, {1, 10, 0, 0, 0}}}));
  trace.apply(snapshot(2, {{kSite, {5, 50, 2, 20, 0}}}));
  const Site& site = trace.sites().at(kSite);
  EXPECT_EQ(site.counters.acquired_count, 5U);
  EXPECT_EQ(site.history.first_bytes(), 10U);
  EXPECT_EQ(site.history.last_bytes(), 30U);
  EXPECT_EQ(trace.snapshots(), 2U);
}

TEST(Trace, ASiteThatASnapshotLeavesOutKeepsItsCounters) {
  Trace trace;
  trace.apply(snapshot(1, {{kSite, {1, 10, 0, 0, 0}}}));
  trace.apply(snapshot(2, {}));
  EXPECT_EQ(trace.sites().at(kSite).counters.acquired_bytes, 10U);
  EXPECT_EQ(trace.now_ns(), 2U);
}

TEST(Trace, LossesAndHitsAreThoseOfTheNewestSnapshot) {
  Trace trace;
  Snapshot first = snapshot(1, {});
  first.losses[6] = 4;
  first.probe_hits = 100;
  trace.apply(first);
  Snapshot second = snapshot(2, {});
  second.losses[6] = 7;
  second.probe_hits = 250;
  trace.apply(second);
  EXPECT_EQ(trace.losses()[6], 7U);
  EXPECT_EQ(trace.probe_hits(), 250U);
}

TEST(Trace, ExecClearsTheAddressSpaceForGood) {
  Trace trace;
  trace.apply(process(1, 100));
  trace.apply(Stack{StackId{0xabc}, ImageId{1}, StackEnd::complete, {}});
  trace.apply(snapshot(1, {{kSite, {1, 10, 0, 0, 0}}}));
  trace.apply(ProcessEnd{ImageId{1}, EndReason::replaced, 0, 2});
  EXPECT_TRUE(trace.sites().empty());
  EXPECT_EQ(trace.stack(StackId{0xabc}), nullptr);
  // A reading that was on its way when the process called exec.
  trace.apply(snapshot(3, {{kSite, {1, 10, 0, 0, 0}}}));
  EXPECT_TRUE(trace.sites().empty());
}

TEST(Trace, ExecOfOneProcessLeavesTheOthers) {
  Trace trace;
  trace.apply(process(1, 100));
  trace.apply(process(2, 200));
  const SiteKey other{{0xdef}, {2}, Kind::heap};
  trace.apply(snapshot(1, {{kSite, {1, 10, 0, 0, 0}}, {other, {1, 20, 0, 0, 0}}}));
  trace.apply(ProcessEnd{ImageId{1}, EndReason::replaced, 0, 2});
  ASSERT_EQ(trace.sites().size(), 1U);
  EXPECT_EQ(trace.sites().count(other), 1U);
}

TEST(Trace, WhatAProcessHeldWhenItExitedStays) {
  Trace trace;
  trace.apply(process(1, 100));
  trace.apply(snapshot(1, {{kSite, {1, 10, 0, 0, 0}}}));
  trace.apply(ProcessEnd{ImageId{1}, EndReason::exited, 0x100, 2});
  EXPECT_EQ(trace.sites().count(kSite), 1U);
  ASSERT_TRUE(trace.processes().at(ImageId{1}).end);
  EXPECT_EQ(trace.processes().at(ImageId{1}).end->wait_status, 0x100U);
}

TEST(Trace, AWalkInPartsIsOneAndALaterWalkReplacesIt) {
  Trace trace;
  const Block block{kSite, 0x1000, 16, 1};
  trace.apply(Blocks{5, {block}});
  trace.apply(Blocks{5, {block, block}});
  ASSERT_TRUE(trace.blocks());
  EXPECT_EQ(trace.blocks()->blocks.size(), 3U);
  trace.apply(Blocks{9, {block}});
  EXPECT_EQ(trace.blocks()->blocks.size(), 1U);
  EXPECT_EQ(trace.blocks()->at_ns, 9U);
}

TEST(Trace, NamesAndModulesAreFoundAgain) {
  Trace trace;
  trace.apply(Module{ModuleId{3}, "/usr/lib/libx.so", "ab12"});
  trace.apply(FrameNames{ModuleId{3}, 0x40, {{"f", "f.c", 7, false}}});
  ASSERT_NE(trace.module(ModuleId{3}), nullptr);
  EXPECT_EQ(trace.module(ModuleId{3})->build_id, "ab12");
  ASSERT_NE(trace.names(ModuleId{3}, 0x40), nullptr);
  EXPECT_EQ(trace.names(ModuleId{3}, 0x40)->front().line, 7U);
  EXPECT_EQ(trace.names(ModuleId{3}, 0x41), nullptr);
}

TEST(Trace, TimeNeverRunsBackAndTheEndIsKnown) {
  Trace trace;
  trace.apply(snapshot(10, {}));
  trace.apply(process(1, 100));  // since 0
  EXPECT_EQ(trace.now_ns(), 10U);
  EXPECT_FALSE(trace.ended());
  trace.apply(TraceEnd{12});
  EXPECT_EQ(trace.now_ns(), 12U);
  EXPECT_TRUE(trace.ended());
}

}  // namespace
}  // namespace leaktrace::model
