// SPDX-License-Identifier: Apache-2.0
#include "user/collect/stack_recycler.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace leaktrace::collect {
namespace {

constexpr model::ImageId kImage{1};

bool none_in_use(StackPlace) {
  return false;
}

std::vector<StackPlace> sorted(std::vector<StackPlace> places) {
  std::ranges::sort(places);
  return places;
}

TEST(TableUse, HasNoExcessBelowSevenEighths) {
  EXPECT_EQ((TableUse{0, 0, 0}.excess()), 0U);
  EXPECT_EQ((TableUse{0, 1, 0}.excess()), 0U);
  EXPECT_EQ((TableUse{223, 256, 0}.excess()), 0U);
  EXPECT_EQ((TableUse{57343, 65536, 0}.excess()), 0U);
}

TEST(TableUse, IsTakenDownToAHalf) {
  EXPECT_EQ((TableUse{224, 256, 0}.excess()), 96U);
  EXPECT_EQ((TableUse{256, 256, 0}.excess()), 128U);
  EXPECT_EQ((TableUse{300, 256, 0}.excess()), 172U);
  EXPECT_EQ((TableUse{1, 1, 0}.excess()), 1U);
}

TEST(TableUse, KeepsRoomForTwiceItsGrowth) {
  EXPECT_EQ((TableUse{209, 256, 10}.excess()), 0U);
  EXPECT_EQ((TableUse{209, 256, 81}.excess()), 81U);
  EXPECT_EQ((TableUse{127, 256, 1000}.excess()), 0U);
}

TEST(StackRecycler, GrowthIsWhatCameBetweenTwoReadings) {
  StackRecycler recycler;
  recycler.add({10}, kImage);
  recycler.begin_reading();
  recycler.add({11}, kImage);
  recycler.add({12}, kImage);
  EXPECT_EQ(recycler.growth(), 1U);
  recycler.begin_reading();
  EXPECT_EQ(recycler.growth(), 2U);
  recycler.begin_reading();
  EXPECT_EQ(recycler.growth(), 0U);
}

TEST(StackRecycler, ANewStackIsLeftAloneUntilAReadingFoundItUnchanged) {
  StackRecycler recycler;
  recycler.begin_reading();
  recycler.add({10}, kImage);
  EXPECT_TRUE(recycler.choose(5, none_in_use).empty());
  recycler.begin_reading();
  recycler.changed({10});
  EXPECT_TRUE(recycler.choose(5, none_in_use).empty());
  recycler.begin_reading();
  EXPECT_EQ(recycler.choose(5, none_in_use), std::vector<StackPlace>{{10}});
}

TEST(StackRecycler, TakesThoseUnchangedForLongest) {
  StackRecycler recycler;
  for (std::uint64_t id = 10; id < 20; ++id) {
    recycler.begin_reading();
    recycler.add({id}, kImage);
  }
  recycler.begin_reading();
  recycler.changed({11});
  recycler.begin_reading();
  EXPECT_EQ(sorted(recycler.choose(3, none_in_use)), (std::vector<StackPlace>{{10}, {12}, {13}}));
  EXPECT_TRUE(recycler.choose(0, none_in_use).empty());
}

TEST(StackRecycler, LeavesWhatIsInUse) {
  StackRecycler recycler;
  recycler.add({10}, kImage);
  recycler.add({11}, kImage);
  recycler.begin_reading();
  const auto chosen = recycler.choose(5, [](StackPlace place) { return place.value == 10; });
  EXPECT_EQ(chosen, std::vector<StackPlace>{{11}});
}

TEST(StackRecycler, NeverTakesBothPlacesOfAStack) {
  StackRecycler recycler;
  const StackPlace first{10};
  const StackPlace second = other_place(first);
  recycler.add(second, kImage);
  recycler.begin_reading();
  recycler.add(first, kImage);
  recycler.begin_reading();
  EXPECT_EQ(recycler.choose(5, none_in_use), std::vector<StackPlace>{second});
  recycler.remove(second);
  EXPECT_FALSE(recycler.holds(second));
  EXPECT_EQ(recycler.choose(5, none_in_use), std::vector<StackPlace>{first});
}

TEST(StackPlace, BothPlacesAreOneStack) {
  const StackPlace first{10};
  const StackPlace second = other_place(first);
  EXPECT_NE(first, second);
  EXPECT_EQ(other_place(second), first);
  EXPECT_EQ(stack_at(first), stack_at(second));
  EXPECT_FALSE(is_second(first));
  EXPECT_TRUE(is_second(second));
}

}  // namespace
}  // namespace leaktrace::collect
