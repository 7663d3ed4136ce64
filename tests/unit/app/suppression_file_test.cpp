// SPDX-License-Identifier: Apache-2.0
#include "user/app/suppression_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace leaktrace::app {
namespace {

using analyze::SuppressionRule;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<SuppressionRule> rules_of(const std::string& text) {
  auto rules = parse_suppressions(text, "file");
  EXPECT_TRUE(rules) << rules.error().message();
  return rules ? *rules : std::vector<SuppressionRule>();
}

std::string error_of(const std::string& text) {
  const auto rules = parse_suppressions(text, "file");
  return rules ? "no error" : rules.error().message();
}

TEST(SuppressionFile, EveryKeyIsRead) {
  const auto rules = rules_of(
      "# what we know of\n"
      "- function: app::Cache::*\n"
      "  module: server\n"
      "  source: \"*/cache.cpp\"\n"
      "  kind: heap\n"
      "  frame: innermost\n"
      "  reason: >\n"
      "    bounded by\n"
      "    --cache-size\n"
      "  expires: 2026-12-31\n"
      "- kind: pg\n"
      "  reason: 'the pool keeps its cursors'\n");
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].function->text(), "app::Cache::*");
  EXPECT_EQ(rules[0].module->text(), "server");
  EXPECT_EQ(rules[0].source->text(), "*/cache.cpp");
  EXPECT_THAT(rules[0].kinds, ElementsAre(model::Kind::heap));
  EXPECT_TRUE(rules[0].innermost);
  EXPECT_EQ(rules[0].reason, "bounded by --cache-size");
  using namespace std::chrono;
  EXPECT_EQ(rules[0].expires, year_month_day(year(2026), month(12), day(31)));
  EXPECT_EQ(rules[0].entry, "file:2");
  EXPECT_FALSE(rules[1].function || rules[1].module || rules[1].source || rules[1].expires);
  EXPECT_FALSE(rules[1].innermost);
  EXPECT_EQ(rules[1].kinds.size(), model::kKinds.size() - 2);
  EXPECT_EQ(rules[1].entry, "file:11");
}

TEST(SuppressionFile, MayHaveNoEntries) {
  for (const char* text : {"", "\n\n", "# nothing yet\n", "[]", "---\n", "--- []\n"}) {
    EXPECT_THAT(rules_of(text), IsEmpty()) << text;
  }
}

TEST(SuppressionFile, BracketsOfNamesNeedNoQuotes) {
  const auto rules = rules_of(
      "- {function: 'operator new[]*', reason: x}\n"
      "- function: operator new[]*\n  reason: x\n");
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].function->text(), rules[1].function->text());
}

struct Wrong {
  const char* text;
  const char* where;
  const char* what;
  const char* advice;
};

TEST(SuppressionFile, WhatIsWrongIsToldWithItsPlaceAndWhatToDo) {
  const std::vector<Wrong> cases = {
      {"- function: f\n  reason: x\n  colour: red\n", "file:3:3: ", "'colour' is no key",
       "function, module, source, kind, frame, reason, expires"},
      {"- function: f\n  reason: x\n  function: g\n", "file:3:3: ", "function is there twice",
       "leave one"},
      {"- function: f\n  reason: x\n-\n", "file:4:1: ", "an empty entry ends here",
       "function, module"},
      {"- {}\n", "file:1:3: ", "the entry is empty", "function, module"},
      {"- reason: x\n", "file:1:3: ", "fits no site", "function, module"},
      {"- function: f\n", "file:1:3: ", "no reason", "add reason"},
      {"- function: f\n  reason: '  '\n", "file:2:11: ", "the reason is blank", "say why"},
      {"- function: f\n  reason:\n", "file:2:3: ", "reason has no value", "quotes"},
      {"- function: [f, g]\n  reason: x\n", "file:1:13: ", "function wants one text", "for each"},
      {"- function: {a: b}\n  reason: x\n", "file:1:13: ", "function wants one text", "for each"},
      {"- function: ''\n  reason: x\n", "file:1:13: ", "function: the pattern is empty", "*"},
      {"- source: 'a\\'\n  reason: x\n", "file:1:11: ", "source: the pattern ends in a backslash",
       "write two"},
      {"- kind: teapot\n  reason: x\n", "file:1:9: ", "'teapot' is no kind", "heap, mmap"},
      {"- function: f\n  frame: outermost\n  reason: x\n",
       "file:2:10: ", "frame cannot be 'outermost'", "any or innermost"},
      {"- kind: heap\n  frame: any\n  reason: x\n", "file:1:3: ", "frame says nothing", "leave it"},
      {"function: f\nreason: x\n", "file:1:1: ", "no list of entries", "'- '"},
      {"- f\n", "file:1:3: ", "the entry is no map", "- function: PATTERN"},
      {"- - f\n", "file:1:3: ", "the entry is no map", "- function: PATTERN"},
      {"- function: *f\n  reason: x\n", "file:1:13: ", "no YAML", "quotes"},
      {"- function: f\n  reason: a: b\n", "file:2:12: ", "no YAML", "quotes"},
      {"- function: 'f\n  reason: x\n", "file:1:3: ", "no reason", "add reason"},
      {"- function: f\n  reason: x\n}\n", "file:3:1: ", "no YAML", "quotes"},
      {"- function: f\n\treason: x\n", "file:2:", "no YAML", "quotes"},
      {"- {function: f, reason: x}\n---\n- {function: g, reason: y}\n",
       "file:2:1: ", "second document", "a file of its own"},
      {"- {[a]: b, reason: x}\n", "file:1:4: ", "is no key", "write function"}};
  for (const Wrong& wrong : cases) {
    EXPECT_THAT(error_of(wrong.text),
                AllOf(StartsWith(wrong.where), HasSubstr(wrong.what), HasSubstr(wrong.advice)))
        << wrong.text;
  }
}

TEST(SuppressionFile, DatesAreThoseOfTheCalendar) {
  const auto with_date = [](const std::string& date) {
    return error_of("- function: f\n  reason: x\n  expires: " + date + "\n");
  };
  for (const char* date : {"2026-12-31", "2028-02-29", "\"2026-01-01\"", "9999-12-31"}) {
    EXPECT_EQ(with_date(date), "no error") << date;
  }
  for (const char* date :
       {"2026-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-32", "2026-1-1",
        "26-01-01", "2026/01/01", "31.12.2026", "tomorrow", "2026-01-01T00:00:00Z", "20260101",
        "2026-01-+1", "2026-01- 1", "-026-01-01",
        "2026-12-31 "
        "x"}) {
    EXPECT_THAT(with_date(date),
                AllOf(StartsWith("file:3:12: "), HasSubstr("is no date"), HasSubstr("YYYY-MM-DD")))
        << date;
  }
}

TEST(SuppressionFile, WhatItQuotesIsHarmlessAndShort) {
  std::string text = "- \"\\e[31m";
  text.append(5000, 'k');
  text += "\": f\n  reason: x\n";
  const std::string error = error_of(text);
  EXPECT_LT(error.size(), 300U);
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
}

class Files : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }

  std::string folder_ = testing::TempDir() + "suppression_files." + std::to_string(::getpid());
};

TEST_F(Files, OfSeveralTheRulesComeInOrder) {
  const std::string one = write("one", "- {function: f, reason: x}\n");
  const std::string two = write("two", "\n- {function: g, reason: y}\n");
  const auto all = read_suppressions({one, two});
  ASSERT_TRUE(all);
  ASSERT_EQ(all->rules().size(), 2U);
  EXPECT_EQ(all->rules()[0].entry, one + ":1");
  EXPECT_EQ(all->rules()[1].entry, two + ":2");
  const auto none = read_suppressions({});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST_F(Files, ThatCannotBeReadAreNamed) {
  for (const std::string& path : {folder_ + "/missing", folder_, std::string("/dev/zero"),
                                  write("large", std::string((1U << 20) + 1, '#'))}) {
    const auto read = read_suppressions({path});
    ASSERT_FALSE(read) << path;
    EXPECT_THAT(read.error().message(), HasSubstr(path));
  }
}

// ---- Nonsense ---------------------------------------------------------------------------------

/// Words that a file is made of, and those that YAML gives a meaning.
std::string nonsense(std::mt19937& random) {
  static const std::vector<std::string> kWords = {"function",
                                                  "module",
                                                  "source",
                                                  "kind",
                                                  "frame",
                                                  "reason",
                                                  "expires",
                                                  ":",
                                                  ": ",
                                                  "- ",
                                                  "-",
                                                  "\n",
                                                  "\n  ",
                                                  "\n\n",
                                                  "\t",
                                                  "[",
                                                  "]",
                                                  "{",
                                                  "}",
                                                  ",",
                                                  "*",
                                                  "&a",
                                                  "*a",
                                                  "!",
                                                  "!!str",
                                                  "|",
                                                  ">",
                                                  "'",
                                                  "\"",
                                                  "\\",
                                                  "#",
                                                  "?",
                                                  "%YAML 1.2",
                                                  "---",
                                                  "...",
                                                  "~",
                                                  "null",
                                                  "<<",
                                                  "heap",
                                                  "pg",
                                                  "innermost",
                                                  "2026-01-01",
                                                  "x",
                                                  "\xff",
                                                  "\xfe\xff",
                                                  "\xc3\xa4",
                                                  std::string(1, '\0')};
  std::string text;
  for (std::size_t i = random() % 40; i > 0; --i) text += kWords[random() % kWords.size()];
  return text;
}

/// A file as it should be, with some of its bytes changed.
std::string damaged(std::mt19937& random) {
  std::string text =
      "- function: 'app::*'\n  source: \"*/cache.cpp\"\n  reason: bounded\n"
      "  expires: 2026-12-31\n- kind: pg.cursor\n  reason: |\n    a pool\n";
  for (std::size_t i = 1 + random() % 4; i > 0; --i) {
    const std::size_t at = random() % text.size();
    switch (random() % 3) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, random() % 8);
        break;
      default:
        text.insert(at, 1 + random() % 3, "-:'\"[]{}*&!|>#\n \t,\\?%"[random() % 21]);
    }
    if (text.empty()) break;
  }
  return text;
}

/// Rules are whole, or the error says where and what; nothing else happens.
void expect_rules_or_error(const std::string& text) {
  const auto rules = parse_suppressions(text, "file");
  if (!rules) {
    EXPECT_THAT(rules.error().message(), StartsWith("file:")) << text;
    EXPECT_GT(rules.error().what.size(), 10U) << text;
    return;
  }
  for (const SuppressionRule& rule : *rules) {
    EXPECT_FALSE(rule.reason.empty()) << text;
    EXPECT_TRUE(rule.function || rule.module || rule.source || !rule.kinds.empty()) << text;
    EXPECT_TRUE(!rule.expires || rule.expires->ok()) << text;
  }
}

TEST(SuppressionFile, NonsenseIsAnErrorOrRulesThatAreWhole) {
  std::mt19937 random(6);
  for (int i = 0; i < 20'000; ++i) expect_rules_or_error(nonsense(random));
  for (int i = 0; i < 20'000; ++i) expect_rules_or_error(damaged(random));
}

TEST(SuppressionFile, ListsWithinListsHaveADepth) {
  for (const char* bracket : {"[", "{", "- ", "? ", "{a: "}) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += bracket;
    EXPECT_NE(error_of(text), "no error") << bracket;
  }
}

}  // namespace
}  // namespace leaktrace::app
