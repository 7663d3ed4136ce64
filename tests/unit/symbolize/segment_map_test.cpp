// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/segment_map.h"

#include <gtest/gtest.h>

#include <random>

namespace leaktrace::symbolize {
namespace {

TEST(SegmentMap, FindsNothingInAnEmptyMap) {
  SegmentMap map;
  map.seal();
  EXPECT_EQ(map.find(0), std::nullopt);
}

TEST(SegmentMap, EndsAreExclusiveAndGapsAreEmpty) {
  SegmentMap map;
  map.add({10, 20}, 1);
  map.add({30, 40}, 2);
  map.seal();
  EXPECT_EQ(map.find(9), std::nullopt);
  EXPECT_EQ(map.find(10), 1u);
  EXPECT_EQ(map.find(19), 1u);
  EXPECT_EQ(map.find(20), std::nullopt);
  EXPECT_EQ(map.find(30), 2u);
  EXPECT_EQ(map.find(40), std::nullopt);
}

TEST(SegmentMap, InnerRangesComeBeforeOuterOnes) {
  SegmentMap map;
  map.add({20, 30}, 2, 2);
  map.add({10, 50}, 1, 1);
  map.add({20, 25}, 3, 3);
  map.seal();
  EXPECT_EQ(map.find(19), 1u);
  EXPECT_EQ(map.find(20), 3u);
  EXPECT_EQ(map.find(25), 2u);
  EXPECT_EQ(map.find(30), 1u);
}

TEST(SegmentMap, TheDeeperOfTwoEqualRangesIsTheInnerOne) {
  SegmentMap map;
  map.add({10, 20}, 2, 2);
  map.add({10, 20}, 1, 1);
  map.seal();
  EXPECT_EQ(map.find(15), 2u);
}

TEST(SegmentMap, ARangeThatOutlivesItsOuterOneIsKept) {
  SegmentMap map;
  map.add({10, 20}, 1);
  map.add({15, 30}, 2);
  map.seal();
  EXPECT_EQ(map.find(14), 1u);
  EXPECT_EQ(map.find(15), 2u);
  EXPECT_EQ(map.find(25), 2u);
  EXPECT_EQ(map.find(30), std::nullopt);
}

TEST(SegmentMap, PassesOverEmptyRanges) {
  SegmentMap map;
  map.add({10, 10}, 1);
  map.add({20, 10}, 2);
  map.seal();
  EXPECT_EQ(map.find(10), std::nullopt);
  EXPECT_EQ(map.find(15), std::nullopt);
}

// Against the definition: of the ranges that hold the address, the one that begins last.
TEST(SegmentMap, AgreesWithALinearSearch) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<AddressRange> ranges;
    SegmentMap map;
    for (std::uint32_t i = 0; i < 20; ++i) {
      std::uint64_t begin = random() % 100;
      ranges.push_back({begin, begin + random() % 40});
      map.add(ranges.back(), i);
    }
    map.seal();
    for (std::uint64_t address = 0; address < 150; ++address) {
      const AddressRange* best = nullptr;
      for (const AddressRange& range : ranges) {
        if (address < range.begin || address >= range.end) continue;
        if (best == nullptr || range.begin > best->begin ||
            (range.begin == best->begin && range.end <= best->end)) {
          best = &range;
        }
      }
      auto found = map.find(address);
      ASSERT_EQ(found.has_value(), best != nullptr) << address;
      if (found) {
        ASSERT_EQ(ranges[*found].begin, best->begin) << address;
        ASSERT_EQ(ranges[*found].end, best->end) << address;
      }
    }
  }
}

}  // namespace
}  // namespace leaktrace::symbolize
