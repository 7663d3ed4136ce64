// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/glob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace leaktrace::analyze {
namespace {

using testing::HasSubstr;

Glob glob(const std::string& text) {
  auto parsed = Glob::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : *Glob::parse("never");
}

std::string error_of(const std::string& text) {
  const auto parsed = Glob::parse(text);
  return parsed ? "none" : parsed.error().message();
}

TEST(Glob, WithoutStarsIsTheWholeName) {
  EXPECT_TRUE(glob("load").matches("load"));
  EXPECT_FALSE(glob("load").matches("loader"));
  EXPECT_FALSE(glob("load").matches("reload"));
  EXPECT_FALSE(glob("load").matches("Load"));
  EXPECT_FALSE(glob("load").matches(""));
}

TEST(Glob, StarsAndQuestionMarksStandForAnything) {
  EXPECT_TRUE(glob("*").matches(""));
  EXPECT_TRUE(glob("*").matches("a/b.c"));
  EXPECT_TRUE(glob("ns::*::load").matches("ns::a::b::load"));
  EXPECT_FALSE(glob("ns::*::load").matches("ns::load"));
  EXPECT_TRUE(glob("lo?d").matches("load"));
  EXPECT_FALSE(glob("lo?d").matches("lod"));
  EXPECT_TRUE(glob("*.so*").matches(".so"));
}

TEST(Glob, BracketsAreOrdinary) {
  EXPECT_TRUE(glob("operator new[]*").matches("operator new[](unsigned long)"));
  EXPECT_FALSE(glob("operator new[]*").matches("operator new(unsigned long)"));
  EXPECT_TRUE(glob("[a-z]").matches("[a-z]"));
  EXPECT_FALSE(glob("[a-z]").matches("b"));
  EXPECT_TRUE(glob("f [clone .cold]").matches("f [clone .cold]"));
  EXPECT_TRUE(glob("[").matches("["));
  EXPECT_TRUE(glob("[!a]").matches("[!a]"));
}

TEST(Glob, ABackslashMakesTheNextCharacterOrdinary) {
  EXPECT_TRUE(glob("operator\\*").matches("operator*"));
  EXPECT_FALSE(glob("operator\\*").matches("operator+"));
  EXPECT_TRUE(glob("a\\\\*").matches("a\\b"));
  EXPECT_TRUE(glob("a\\[b").matches("a[b"));
  EXPECT_TRUE(glob("a\\\\[b]").matches("a\\[b]"));
}

TEST(Glob, PathsAreHeldAgainstTheirLastPartUnlessThereIsASlash) {
  EXPECT_TRUE(glob("libssl.so*").matches_path("/usr/lib/libssl.so.3"));
  EXPECT_FALSE(glob("lib").matches_path("/usr/lib/libssl.so.3"));
  EXPECT_TRUE(glob("*/third_party/*").matches_path("/src/third_party/zlib/deflate.c"));
  EXPECT_FALSE(glob("third_party/*").matches_path("/src/third_party/zlib/deflate.c"));
  EXPECT_TRUE(glob("deflate.c").matches_path("deflate.c"));
  EXPECT_TRUE(glob("/usr/*").matches_path("/usr/lib/.hidden"));
}

TEST(Glob, FunctionsMayLeaveOutTypesAndArguments) {
  const std::string function = "void ns::Cache<int>::fill(std::string const&, int) const";
  for (const char* text :
       {"ns::Cache<int>::fill", "ns::Cache*::fill", "*::fill", "void ns::*", "*(std::string*",
        "void ns::Cache<int>::fill(std::string const&, int) const"}) {
    EXPECT_TRUE(glob(text).matches_function(function)) << text;
  }
  EXPECT_FALSE(glob("fill").matches_function(function));
  EXPECT_FALSE(glob("ns::Cache<int>").matches_function(function));
}

TEST(Glob, BadPatternsSayWhatIsWrong) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of("a\\"), HasSubstr("backslash"));
  EXPECT_THAT(error_of("\\"), HasSubstr("backslash"));
  EXPECT_THAT(error_of("\\\\\\"), HasSubstr("backslash"));
  EXPECT_EQ(error_of("\\\\"), "none");
  EXPECT_THAT(error_of(std::string("a\0b", 3)), HasSubstr("value 0"));
  EXPECT_THAT(error_of(std::string(Glob::kMostBytes + 1, 'a')), HasSubstr("4096"));
  EXPECT_EQ(error_of(std::string(Glob::kMostBytes, '*')), "none");
}

TEST(Glob, ManyStarsTakeNoAge) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "*a";
  text += "*b";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(glob(text).matches(std::string(20'000, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace leaktrace::analyze
