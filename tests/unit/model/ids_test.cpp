// SPDX-License-Identifier: Apache-2.0
#include "user/model/ids.h"

#include <gtest/gtest.h>

#include "leaktrace/abi.h"

namespace leaktrace::model {
namespace {

TEST(Kind, NamesAndNumbersGoBothWays) {
  for (Kind kind : {Kind::heap, Kind::mmap}) {
    EXPECT_EQ(kind_from_name(kind_name(kind)), kind);
  }
  EXPECT_EQ(kind_from_name("heaps"), std::nullopt);
  EXPECT_EQ(kind_from_name(""), std::nullopt);
}

TEST(Kind, ValuesAreThoseOfTheBpfSide) {
  EXPECT_EQ(static_cast<int>(Kind::heap), LT_KIND_HEAP);
  EXPECT_EQ(static_cast<int>(Kind::mmap), LT_KIND_MMAP);
}

TEST(SiteKey, EveryPartTellsKeysApart) {
  const SiteKey key{{1}, {2}, Kind::heap};
  EXPECT_NE(key, (SiteKey{{9}, {2}, Kind::heap}));
  EXPECT_NE(key, (SiteKey{{1}, {9}, Kind::heap}));
  EXPECT_NE(key, (SiteKey{{1}, {2}, Kind::mmap}));
  EXPECT_EQ(key, (SiteKey{{1}, {2}, Kind::heap}));
}

}  // namespace
}  // namespace leaktrace::model
