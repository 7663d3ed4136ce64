// SPDX-License-Identifier: Apache-2.0
#include "user/model/ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "leaktrace/abi.h"

namespace leaktrace::model {
namespace {

TEST(Kind, NamesAndNumbersGoBothWays) {
  for (Kind kind : kKinds) EXPECT_EQ(kind_from_name(kind_name(kind)), kind);
  EXPECT_EQ(kind_from_name("heaps"), std::nullopt);
  EXPECT_EQ(kind_from_name(""), std::nullopt);
}

TEST(Kind, APrefixNamesAFamily) {
  EXPECT_THAT(kinds_from_name("heap"), testing::ElementsAre(Kind::heap));
  EXPECT_THAT(kinds_from_name("pg.cursor"), testing::ElementsAre(Kind::pg_cursor));
  EXPECT_EQ(kinds_from_name("pg").size(), kKinds.size() - 2);
  for (Kind kind : kinds_from_name("pg")) EXPECT_TRUE(is_postgres(kind)) << kind_name(kind);
  for (const char* none : {"", "p", "pg.", "pg.curs", "heap.", "PG"}) {
    EXPECT_THAT(kinds_from_name(none), testing::IsEmpty()) << none;
  }
  EXPECT_FALSE(is_postgres(Kind::heap));
  EXPECT_FALSE(is_postgres(Kind::mmap));
}

TEST(Kind, ValuesAreThoseOfTheBpfSide) {
  EXPECT_EQ(static_cast<int>(Kind::heap), LT_KIND_HEAP);
  EXPECT_EQ(static_cast<int>(Kind::mmap), LT_KIND_MMAP);
  EXPECT_EQ(static_cast<int>(Kind::pg_connection), LT_KIND_PG_CONNECTION);
  EXPECT_EQ(static_cast<int>(Kind::pg_result), LT_KIND_PG_RESULT);
  EXPECT_EQ(static_cast<int>(Kind::pg_buffer), LT_KIND_PG_BUFFER);
  EXPECT_EQ(static_cast<int>(Kind::pg_large_object), LT_KIND_PG_LARGE_OBJECT);
  EXPECT_EQ(static_cast<int>(Kind::pg_statement), LT_KIND_PG_STATEMENT);
  EXPECT_EQ(static_cast<int>(Kind::pg_cursor), LT_KIND_PG_CURSOR);
  EXPECT_EQ(static_cast<int>(Kind::pg_copy), LT_KIND_PG_COPY);
  EXPECT_EQ(kKinds.size() + 1, LT_KIND_COUNT);
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
