// SPDX-License-Identifier: Apache-2.0
#include "user/collect/range_table.h"

#include <gmock/gmock.h>

namespace leaktrace::collect {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr model::ImageId kImage{1};
constexpr std::uint32_t kThread = 10;
constexpr std::uint32_t kOther = 11;
constexpr std::uint64_t kBase = 0x7f0000000000;
constexpr std::uint64_t kPage = 4096;

class RangeTableTest : public ::testing::Test {
 protected:
  void acquire(std::uint64_t address, std::uint64_t length, std::uint64_t stack = 1,
               std::uint64_t at_ns = 100) {
    table_.acquired({.image = kImage,
                     .tid = kThread,
                     .address = address,
                     .length = length,
                     .stack = {stack},
                     .at_ns = at_ns});
  }
  void acquire_nested(std::uint64_t address, std::uint64_t length) {
    table_.acquired({.image = kImage,
                     .tid = kThread,
                     .address = address,
                     .length = length,
                     .stack = {1},
                     .at_ns = 100,
                     .nested = true});
  }
  void replace(std::uint64_t address, std::uint64_t length, std::uint64_t stack = 2) {
    table_.acquired({.image = kImage,
                     .tid = kThread,
                     .address = address,
                     .length = length,
                     .stack = {stack},
                     .at_ns = 200,
                     .fixed = true});
  }
  void take(std::uint64_t address, std::uint64_t length, std::uint32_t tid = kThread) {
    table_.taken(kImage, tid, address, length);
  }
  /// A release whose call has succeeded.
  void release(std::uint64_t address, std::uint64_t length) {
    take(address, length);
    table_.settle();
  }

  [[nodiscard]] model::Counters counters(std::uint64_t stack = 1,
                                         model::ImageId image = kImage) const {
    for (const model::SiteCounters& site : table_.sites()) {
      if (site.site == model::SiteKey{{stack}, image, model::Kind::mmap}) return site.counters;
    }
    return {};
  }
  [[nodiscard]] std::uint64_t loss(lt_loss cause) const {
    model::Losses losses{};
    table_.add_losses(losses);
    return losses[cause];
  }
  [[nodiscard]] std::uint64_t missed() const { return loss(LT_LOSS_MISSED_RELEASE); }
  [[nodiscard]] std::uint64_t unmatched() const { return loss(LT_LOSS_UNMATCHED_RELEASE); }
  [[nodiscard]] std::vector<model::Block> blocks() const {
    std::vector<model::Block> all;
    table_.append_blocks(all);
    return all;
  }
  [[nodiscard]] static model::Block block(std::uint64_t address, std::uint64_t size,
                                          std::uint64_t stack = 1, std::uint64_t at_ns = 100) {
    return {{{stack}, kImage, model::Kind::mmap}, address, size, at_ns};
  }

  RangeTable table_{RangeTable::Options{}};
};

TEST_F(RangeTableTest, AMappingCountsWithTheBytesAskedFor) {
  acquire(kBase, 5000);
  EXPECT_EQ(counters(), (model::Counters{1, 5000, 0, 0, 100}));
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 5000)));
}

TEST_F(RangeTableTest, PagesReleasedOneByOneGiveTheBytesAskedForInThem) {
  acquire(kBase, 5000);
  release(kBase + kPage, kPage);
  EXPECT_EQ(counters(), (model::Counters{1, 5000, 0, 904, 100}));
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 4096)));
  release(kBase, kPage);
  EXPECT_EQ(counters(), (model::Counters{1, 5000, 1, 5000, 100}));
  EXPECT_THAT(blocks(), IsEmpty());
  EXPECT_EQ(unmatched(), 0U);
}

TEST_F(RangeTableTest, AReleaseOfPartOfAPageReleasesThePage) {
  acquire(kBase, 3 * kPage);
  release(kBase, 1);
  EXPECT_EQ(counters().released_bytes, kPage);
  release(kBase + kPage, kPage + 1);
  EXPECT_EQ(counters().outstanding_bytes(), 0U);
}

TEST_F(RangeTableTest, AHoleSplitsAMappingThatStillCountsOnce) {
  acquire(kBase, 3 * kPage);
  release(kBase + kPage, kPage);
  EXPECT_EQ(counters(), (model::Counters{1, 3 * kPage, 0, kPage, 100}));
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 2 * kPage)));
  release(kBase, kPage);
  EXPECT_EQ(counters().released_count, 0U);
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase + 2 * kPage, kPage)));
  release(kBase + 2 * kPage, kPage);
  EXPECT_EQ(counters(), (model::Counters{1, 3 * kPage, 1, 3 * kPage, 100}));
}

TEST_F(RangeTableTest, OneReleaseCanCoverSeveralMappingsAndPartsOfThem) {
  acquire(kBase, 2 * kPage, 1);
  acquire(kBase + 2 * kPage, kPage, 2);
  acquire(kBase + 4 * kPage, 2 * kPage, 3);
  release(kBase + kPage, 4 * kPage);
  EXPECT_EQ(counters(1).released_bytes, kPage);
  EXPECT_EQ(counters(1).released_count, 0U);
  EXPECT_EQ(counters(2).released_count, 1U);
  EXPECT_EQ(counters(3).released_bytes, kPage);
  EXPECT_THAT(blocks(),
              UnorderedElementsAre(block(kBase, kPage, 1), block(kBase + 5 * kPage, kPage, 3)));
}

TEST_F(RangeTableTest, AReleaseCountsOnlyWhenTheThreadGoesOn) {
  acquire(kBase, kPage);
  acquire(kBase + kPage, kPage);
  take(kBase, kPage);
  EXPECT_EQ(counters().released_count, 0U) << "the call may yet fail";
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase + kPage, kPage)));
  table_.taken(kImage, kOther, kBase + 64 * kPage, kPage);
  EXPECT_EQ(counters().released_count, 0U) << "another thread says nothing about it";
  take(kBase + kPage, kPage);
  EXPECT_EQ(counters().released_count, 1U);
  acquire(kBase + 8 * kPage, kPage);
  EXPECT_EQ(counters().released_count, 2U);
}

TEST_F(RangeTableTest, AFailedReleaseChangesNothing) {
  acquire(kBase, 3 * kPage);
  take(kBase + kPage, kPage);
  table_.restored(kImage, kThread);
  table_.settle();
  EXPECT_EQ(counters(), (model::Counters{1, 3 * kPage, 0, 0, 100}));
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 3 * kPage)));
  EXPECT_EQ(table_.parts(), 1U) << "the parts are joined again";
  take(kBase + 64 * kPage, kPage);
  table_.restored(kImage, kThread);
  table_.settle();
  EXPECT_EQ(unmatched(), 0U) << "a call that failed released nothing";
}

TEST_F(RangeTableTest, AFailureAfterAReadingIsCountedUpwards) {
  acquire(kBase, 2 * kPage);
  release(kBase, 2 * kPage);
  EXPECT_EQ(counters(), (model::Counters{1, 2 * kPage, 1, 2 * kPage, 100}));
  table_.restored(kImage, kThread);
  EXPECT_EQ(counters(), (model::Counters{2, 4 * kPage, 1, 2 * kPage, 100}));
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 2 * kPage)));
  release(kBase, 2 * kPage);
  EXPECT_EQ(counters().outstanding_count(), 0U);
}

TEST_F(RangeTableTest, TwoReadingsLaterACallHasSucceeded) {
  acquire(kBase, kPage);
  release(kBase, kPage);
  EXPECT_EQ(table_.parts(), 1U) << "remembered";
  table_.settle();
  EXPECT_EQ(table_.parts(), 0U);
  table_.restored(kImage, kThread);
  EXPECT_EQ(counters(), (model::Counters{1, kPage, 1, kPage, 100}));
}

TEST_F(RangeTableTest, AnotherThreadMayGetTheAddressesBeforeTheCallReturns) {
  acquire(kBase, 2 * kPage);
  take(kBase, 2 * kPage, kOther);
  acquire(kBase, kPage, 2);
  EXPECT_EQ(missed(), 0U);
  table_.settle();
  EXPECT_EQ(counters(1).released_count, 1U);
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, kPage, 2)));
}

TEST_F(RangeTableTest, WhatIsPutBackLeavesNewerMappingsAlone) {
  acquire(kBase, 3 * kPage);
  take(kBase, 3 * kPage, kOther);
  replace(kBase + kPage, kPage);
  table_.restored(kImage, kOther);
  EXPECT_EQ(counters(1), (model::Counters{1, 3 * kPage, 0, kPage, 100}));
  EXPECT_THAT(blocks(),
              UnorderedElementsAre(block(kBase, 2 * kPage), block(kBase + kPage, kPage, 2, 200)));
}

TEST_F(RangeTableTest, AMappingWhereOneIsMeansAMissedRelease) {
  acquire(kBase, 4 * kPage);
  acquire(kBase + kPage, kPage, 2);
  EXPECT_EQ(missed(), 1U);
  EXPECT_EQ(counters(1), (model::Counters{1, 4 * kPage, 0, kPage, 100}));
  acquire(kBase + 3 * kPage, kPage, 2);
  EXPECT_EQ(missed(), 1U) << "once a mapping";
  acquire(kBase, 4 * kPage, 3);
  EXPECT_EQ(missed(), 3U);
  EXPECT_EQ(counters(1).released_count, 1U);
  EXPECT_EQ(counters(2).released_count, 2U);
}

TEST_F(RangeTableTest, AFixedMappingReplacesWithoutAMiss) {
  acquire(kBase, 3 * kPage);
  replace(kBase + kPage, kPage);
  EXPECT_EQ(missed(), 0U);
  EXPECT_EQ(counters(1), (model::Counters{1, 3 * kPage, 0, kPage, 100}));
  EXPECT_EQ(counters(2), (model::Counters{1, kPage, 0, 0, 200}));
}

TEST_F(RangeTableTest, AReleaseOfNothingTrackedIsUnmatchedOnceACall) {
  release(kBase, 100 * kPage);
  EXPECT_EQ(unmatched(), 1U);
  acquire(kBase, kPage);
  release(kBase, 100 * kPage);
  EXPECT_EQ(unmatched(), 1U) << "part of it was tracked";
}

TEST_F(RangeTableTest, AnAllocatorsOwnMappingsAreTrackedAndNotCounted) {
  acquire_nested(kBase, 2 * kPage);
  EXPECT_THAT(table_.sites(), IsEmpty());
  EXPECT_THAT(blocks(), IsEmpty());
  EXPECT_EQ(table_.parts(), 1U);
  release(kBase, kPage);
  EXPECT_EQ(unmatched(), 0U);
  acquire(kBase + kPage, kPage);
  EXPECT_EQ(missed(), 0U);
  EXPECT_EQ(counters(), (model::Counters{1, kPage, 0, 0, 100}));
}

TEST_F(RangeTableTest, AMovedMappingKeepsItsSumsRight) {
  acquire(kBase, kPage);
  take(kBase, kPage);  // mremap, which succeeds
  acquire(kBase + 8 * kPage, 2 * kPage, 2, 300);
  EXPECT_EQ(counters(1).outstanding_count(), 0U);
  EXPECT_EQ(counters(2), (model::Counters{1, 2 * kPage, 0, 0, 300}));
  take(kBase + 8 * kPage, 2 * kPage);  // mremap, which fails
  table_.restored(kImage, kThread);
  EXPECT_EQ(counters(2), (model::Counters{1, 2 * kPage, 0, 0, 300}));
}

TEST_F(RangeTableTest, SinceIsWhenOutstandingLastLeftZero) {
  acquire(kBase, kPage, 1, 100);
  acquire(kBase + kPage, kPage, 1, 200);
  release(kBase, kPage);
  EXPECT_EQ(counters().since_ns, 100U);
  release(kBase + kPage, kPage);
  acquire(kBase, kPage, 1, 300);
  EXPECT_EQ(counters().since_ns, 300U);
}

TEST_F(RangeTableTest, ImagesAreApartAndEndWithAllTheyHold) {
  acquire(kBase, kPage);
  table_.acquired(
      {.image = {2}, .tid = kThread, .address = kBase, .length = kPage, .stack = {1}, .at_ns = 5});
  take(kBase, kPage);
  table_.image_ended(kImage);
  table_.settle();
  EXPECT_EQ(missed(), 0U);
  EXPECT_EQ(counters(1, kImage), model::Counters{});
  EXPECT_EQ(counters(1, {2}), (model::Counters{1, kPage, 0, 0, 5}));
  EXPECT_EQ(table_.parts(), 1U);
  table_.restored(kImage, kThread);
  table_.image_ended({77});
  EXPECT_EQ(table_.parts(), 1U);
}

TEST_F(RangeTableTest, OnlyChangedSitesAreTaken) {
  acquire(kBase, kPage, 1);
  acquire(kBase + kPage, kPage, 2);
  EXPECT_EQ(table_.take_changed_sites().size(), 2U);
  EXPECT_THAT(table_.take_changed_sites(), IsEmpty());
  release(kBase, kPage);
  ASSERT_EQ(table_.take_changed_sites().size(), 1U);
  EXPECT_EQ(table_.sites().size(), 2U);
}

TEST_F(RangeTableTest, WhatIsNoLongerMappedIsClosedAsMissed) {
  acquire(kBase, 4 * kPage, 1, 100);
  acquire(kBase + 8 * kPage, kPage, 2, 100);
  acquire(kBase + 16 * kPage, kPage, 3, 500);
  const std::vector<AddressRange> mapped = {{kBase + 3 * kPage, kBase + 5 * kPage},
                                            {kBase, kBase + kPage}};
  table_.reconcile(kImage, mapped, 400);
  EXPECT_EQ(counters(1), (model::Counters{1, 4 * kPage, 0, 2 * kPage, 100}));
  EXPECT_EQ(counters(2).released_count, 1U);
  EXPECT_EQ(counters(3).released_count, 0U) << "mapped after the list was read";
  EXPECT_EQ(missed(), 2U);
  table_.reconcile(kImage, {}, 400);
  EXPECT_EQ(counters(1).released_count, 1U);
  EXPECT_EQ(missed(), 2U) << "once a mapping";
}

TEST_F(RangeTableTest, OverItsBoundAMappingIsLostAndCounted) {
  RangeTable table({.max_parts = 2});
  for (std::uint64_t i = 0; i < 3; ++i) {
    table.acquired({.image = kImage,
                    .tid = kThread,
                    .address = kBase + 2 * i * kPage,
                    .length = kPage,
                    .stack = {1},
                    .at_ns = 1});
  }
  model::Losses losses{};
  table.add_losses(losses);
  EXPECT_EQ(losses[LT_LOSS_LIVE_TABLE_FULL], 1U);
  EXPECT_EQ(table.sites().at(0).counters.acquired_count, 2U) << "what is not stored is not counted";
  EXPECT_EQ(table.parts(), 2U);
}

TEST_F(RangeTableTest, HolesDoNotGrowAFullTable) {
  RangeTable table({.max_parts = 1});
  table.acquired({.image = kImage,
                  .tid = kThread,
                  .address = kBase,
                  .length = 9 * kPage,
                  .stack = {1},
                  .at_ns = 1});
  table.taken(kImage, kThread, kBase + 4 * kPage, kPage);
  table.settle();
  EXPECT_EQ(table.sites().at(0).counters, (model::Counters{1, 9 * kPage, 0, 5 * kPage, 1}));
  model::Losses losses{};
  table.add_losses(losses);
  EXPECT_EQ(losses[LT_LOSS_LIVE_TABLE_FULL], 1U);
}

TEST_F(RangeTableTest, LengthsThatMakeNoSenseDoNoHarm) {
  acquire(kBase, 0);
  EXPECT_THAT(table_.sites(), IsEmpty());
  acquire(kBase, kPage);
  take(kBase, 0);
  table_.restored(kImage, kThread);
  acquire(UINT64_MAX - kPage, UINT64_MAX, 5);
  acquire(UINT64_MAX, UINT64_MAX, 6);
  release(kBase, UINT64_MAX);
  EXPECT_THAT(blocks(), IsEmpty());
  EXPECT_EQ(counters(5).outstanding_bytes(), 0U);
}

TEST_F(RangeTableTest, AStackIsInUseUntilAllOfItIsReleasedAndTold) {
  acquire(kBase, kPage, 5);
  static_cast<void>(table_.take_changed_sites());
  EXPECT_THAT(table_.stacks_in_use(), UnorderedElementsAre(model::StackId{5}));
  take(kBase, kPage);
  table_.settle();
  EXPECT_THAT(table_.stacks_in_use(), UnorderedElementsAre(model::StackId{5}));
  static_cast<void>(table_.take_changed_sites());
  EXPECT_THAT(table_.stacks_in_use(), UnorderedElementsAre(model::StackId{5}))
      << "the call may still fail";
  table_.settle();
  EXPECT_THAT(table_.stacks_in_use(), IsEmpty());
}

TEST_F(RangeTableTest, AForgottenStackCountsFromZeroAgain) {
  acquire(kBase, kPage, 5);
  acquire(kBase + kPage, kPage, 6);
  release(kBase, kPage);
  EXPECT_EQ(table_.site_count(), 2U);
  const model::StackId gone{5};
  table_.forget({&gone, 1});
  EXPECT_EQ(table_.site_count(), 1U);
  EXPECT_EQ(counters(6).acquired_count, 1U);
  acquire(kBase, 100, 5);
  EXPECT_EQ(counters(5), (model::Counters{1, 100, 0, 0, 100}));
  EXPECT_EQ(table_.site_count(), 2U);
}

TEST_F(RangeTableTest, RingEventsAreApplied) {
  lt_event_range event{};
  event.header = {LT_EVENT_RANGE_ACQUIRED, 4242, kImage.value, kThread, 1500};
  event.address = kBase;
  event.length = 5000;
  event.stack_id = 9;
  table_.apply(event, 1000);
  EXPECT_EQ(counters(9), (model::Counters{1, 5000, 0, 0, 500}));
  event.header.type = LT_EVENT_RANGE_TAKEN;
  table_.apply(event, 1000);
  event.header.type = LT_EVENT_RANGE_RESTORED;
  table_.apply(event, 1000);
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 5000, 9, 500)));
  event.header.type = LT_EVENT_RANGE_ACQUIRED;
  event.header.time_ns = 900;
  event.flags = LT_RANGE_FIXED;
  table_.apply(event, 1000);
  EXPECT_EQ(missed(), 0U);
  EXPECT_THAT(blocks(), UnorderedElementsAre(block(kBase, 5000, 9, 0)));
  event.flags = LT_RANGE_FIXED | LT_RANGE_NESTED;
  table_.apply(event, 1000);
  EXPECT_THAT(blocks(), IsEmpty());
  event.header.type = LT_EVENT_PROCESS_EXIT;
  table_.apply(event, 1000);
}

}  // namespace
}  // namespace leaktrace::collect
