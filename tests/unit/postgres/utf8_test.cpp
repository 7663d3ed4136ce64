// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/utf8.h"

#include <gtest/gtest.h>

namespace leaktrace::postgres {
namespace {

TEST(Utf8, KnowsCharacters) {
  EXPECT_EQ(utf8_length("a"), 1U);
  EXPECT_EQ(utf8_length("é"), 2U);
  EXPECT_EQ(utf8_length("…"), 3U);
  EXPECT_EQ(utf8_length("😀"), 4U);
  for (const char* wrong : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x80", "\xff"}) {
    EXPECT_EQ(utf8_length(wrong), 0U) << wrong;
  }
  EXPECT_EQ(utf8_length(""), 0U);
}

TEST(Utf8, ClipsBetweenCharacters) {
  EXPECT_EQ(clipped_utf8("abc", 3), "abc");
  EXPECT_EQ(clipped_utf8("abcdef", 5), "ab…");
  EXPECT_EQ(clipped_utf8("aéé", 4), "a…");
  EXPECT_EQ(clipped_utf8("ééé", 5), "é…");
  EXPECT_EQ(clipped_utf8("abc", 2), "ab");
  EXPECT_EQ(clipped_utf8("é", 1), "");
  EXPECT_EQ(clipped_utf8("a\xff", 10), "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace leaktrace::postgres
