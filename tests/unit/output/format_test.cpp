// SPDX-License-Identifier: Apache-2.0
#include "user/output/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/output/sample_report.h"

namespace leaktrace::output {
namespace {

using testing::HasSubstr;

TEST(Formats, AreFoundByName) {
  for (const char* name : {"text", "json", "folded", "svg"}) {
    const auto format = find_format(name);
    ASSERT_TRUE(format) << name;
    EXPECT_EQ((*format)->name, name);
  }
}

TEST(Formats, TextIsTheDefaultAndAllHaveHelp) {
  EXPECT_EQ(formats().front().name, "text");
  std::set<std::string_view> names;
  for (const Format& format : formats()) {
    EXPECT_FALSE(format.summary.empty());
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
  }
}

TEST(Formats, AnUnknownNameListsTheKnown) {
  const auto format = find_format("yaml");
  ASSERT_FALSE(format);
  EXPECT_THAT(format.error().what, HasSubstr("yaml"));
  EXPECT_THAT(format.error().advice, HasSubstr("text, json, folded, svg"));
}

TEST(Formats, ReportsComeOutTheSameTwice) {
  for (const Format& format : formats()) {
    EXPECT_EQ(format.write(awkward_report()), format.write(awkward_report())) << format.name;
  }
}

}  // namespace
}  // namespace leaktrace::output
