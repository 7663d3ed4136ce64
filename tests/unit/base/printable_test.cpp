// SPDX-License-Identifier: Apache-2.0
#include "user/base/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace leaktrace {
namespace {

using namespace std::string_literals;

TEST(Printable, TextStays) {
  EXPECT_EQ(printable("plain größe 漢字 🦀"), "plain größe 漢字 🦀");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, WhatATerminalObeysGoes) {
  EXPECT_EQ(printable("\x1b[31m"), "\uFFFD[31m");
  EXPECT_EQ(printable("a\nb\tc\x7f"), "a\uFFFDb\uFFFDc\uFFFD");
  EXPECT_EQ(printable("a\0b"s), "a\uFFFDb");
  EXPECT_EQ(printable("\xc2\x9b"), "\uFFFD");  // CSI as one character
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b"),
            "a\uFFFDb");  // right-to-left override
}

TEST(Printable, BytesThatAreNoUtf8AreReplacedOneByOne) {
  EXPECT_EQ(printable("\xff"), "\uFFFD");
  EXPECT_EQ(printable("\xc3("), "\uFFFD(");
  EXPECT_EQ(printable("\xc0\x80"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(printable("\xe6\xbc"), "\uFFFD\uFFFD");  // cut off
  EXPECT_EQ(printable("\xef\xbf\xbf"), "\uFFFD");    // U+FFFF
}

TEST(Printable, LinesAndTabsStayWhereTheyAreWanted) {
  EXPECT_EQ(printable_lines("a\n\tb\r\x1b[2J\n"), "a\n\tb\uFFFD\uFFFD[2J\n");
}

TEST(Printable, ColumnsAreCodePoints) {
  EXPECT_EQ(columns("größe"), 5U);
  EXPECT_EQ(first_columns("größe", 3), "grö");
  EXPECT_EQ(last_columns("größe", 2), "ße");
  EXPECT_EQ(first_columns("ab", 9), "ab");
  EXPECT_EQ(last_columns("ab", 9), "ab");
  EXPECT_EQ(first_columns("ab", 0), "");
}

}  // namespace
}  // namespace leaktrace
