// SPDX-License-Identifier: Apache-2.0
#include "user/collect/site_totals.h"

#include <gtest/gtest.h>

namespace leaktrace::collect {
namespace {

constexpr SiteEntry kFirst{{10}, {1}, model::Kind::heap};
const SiteEntry kSecond{other_place({10}), {1}, model::Kind::heap};
const model::SiteKey kSite = site_of(kFirst);

TEST(SiteTotals, SaysWhetherAReadingIsNew) {
  SiteTotals totals;
  EXPECT_FALSE(totals.take(kFirst, {}));
  EXPECT_TRUE(totals.take(kFirst, {1, 10, 0, 0, 5}));
  EXPECT_FALSE(totals.take(kFirst, {1, 10, 0, 0, 5}));
  EXPECT_EQ(totals.last(kFirst), (model::Counters{1, 10, 0, 0, 5}));
  EXPECT_EQ(totals.last(kSecond), model::Counters{});
  EXPECT_EQ(totals.total(kSite), (model::Counters{1, 10, 0, 0, 5}));
}

TEST(SiteTotals, AddsUpBothPlaces) {
  SiteTotals totals;
  EXPECT_TRUE(totals.take(kFirst, {5, 50, 2, 20, 100}));
  EXPECT_TRUE(totals.take(kSecond, {3, 30, 1, 10, 70}));
  EXPECT_EQ(totals.total(kSite), (model::Counters{8, 80, 3, 30, 70}));
}

TEST(SiteTotals, AgeIsThatOfTheEntryThatHoldsSomething) {
  SiteTotals totals;
  EXPECT_TRUE(totals.take(kFirst, {5, 50, 5, 50, 20}));
  EXPECT_TRUE(totals.take(kSecond, {3, 30, 1, 10, 70}));
  EXPECT_EQ(totals.total(kSite).since_ns, 70U);
}

TEST(SiteTotals, ARemovedEntryStaysInTheTotalWhenItCountsFromZeroAgain) {
  SiteTotals totals;
  EXPECT_TRUE(totals.take(kFirst, {5, 50, 5, 50, 20}));
  EXPECT_TRUE(totals.take(kSecond, {1, 10, 0, 0, 90}));
  totals.removed(kFirst);
  EXPECT_EQ(totals.total(kSite), (model::Counters{6, 60, 5, 50, 90}));
  EXPECT_TRUE(totals.take(kFirst, {1, 8, 1, 8, 95}));
  EXPECT_EQ(totals.total(kSite), (model::Counters{7, 68, 6, 58, 90}));
  totals.removed(kFirst);
  EXPECT_EQ(totals.total(kSite), (model::Counters{7, 68, 6, 58, 90}));
}

TEST(SiteTotals, EstimatesAddUpOverAllEntries) {
  SiteTotals totals;
  model::Counters sampled{5, 50, 2, 20, 20, {2, 1, 3.5, 40, 1, 10}};
  EXPECT_TRUE(totals.take(kFirst, sampled));
  EXPECT_TRUE(totals.take(kSecond, sampled));
  totals.removed(kFirst);
  EXPECT_TRUE(totals.take(kFirst, sampled));
  EXPECT_EQ(totals.total(kSite).estimate, (model::Estimate{6, 3, 10.5, 120, 3, 30}));
  sampled.estimate.unseen_count = 0;  // a change of the estimate alone is one
  EXPECT_TRUE(totals.take(kFirst, sampled));
  EXPECT_EQ(totals.total(kSite).estimate.unseen_count, 2U);
}

TEST(SiteTotals, ForgetsASiteAndAnImage) {
  SiteTotals totals;
  const SiteEntry other{{10}, {2}, model::Kind::heap};
  EXPECT_TRUE(totals.take(kFirst, {5, 50, 5, 50, 20}));
  EXPECT_TRUE(totals.take(other, {1, 1, 0, 0, 0}));
  totals.forget(kSite);
  EXPECT_EQ(totals.total(kSite), model::Counters{});
  EXPECT_EQ(totals.total(site_of(other)).acquired_count, 1U);
  totals.forget(model::ImageId{2});
  EXPECT_EQ(totals.total(site_of(other)), model::Counters{});
  totals.removed(other);  // of what is forgotten nothing comes back
  EXPECT_EQ(totals.total(site_of(other)), model::Counters{});
}

}  // namespace
}  // namespace leaktrace::collect
