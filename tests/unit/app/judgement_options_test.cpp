// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "user/app/options.h"

namespace leaktrace::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ParsedLine parse(std::vector<const char*> words) {
  words.insert(words.begin(), "leaktrace");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

/// The report options of a line that has some.
ReportOptionsLine report_of(const std::vector<const char*>& words) {
  const ParsedLine line = parse(words);
  if (line.command && std::holds_alternative<TraceCommand>(*line.command)) {
    return std::get<TraceCommand>(*line.command).report;
  }
  if (line.command && std::holds_alternative<ReportCommand>(*line.command)) {
    return std::get<ReportCommand>(*line.command).report;
  }
  ADD_FAILURE() << "another command";
  return {};
}

std::string message_of(const std::vector<const char*>& words) {
  testing::internal::CaptureStderr();
  const ParsedLine line = parse(words);
  std::string message = testing::internal::GetCapturedStderr();
  EXPECT_FALSE(line.command.has_value()) << testing::PrintToString(words);
  EXPECT_EQ(line.status, 2) << testing::PrintToString(words);
  return message;
}

TEST(JudgementOptions, AreOffUnlessTold) {
  EXPECT_THAT(report_of({"-p", "1"}).suppressions, IsEmpty());
  EXPECT_EQ(report_of({"-p", "1"}).fail_on, std::nullopt);
}

TEST(JudgementOptions, SuppressionsMayBeSeveralAndLeaveOtherWordsAlone) {
  EXPECT_THAT(report_of({"report", "--suppressions", "a,b", "recording", "--suppressions", "c"})
                  .suppressions,
              ElementsAre("a,b", "c"));
  EXPECT_THAT(report_of({"-p", "1", "--suppressions", "a"}).suppressions, ElementsAre("a"));
  EXPECT_THAT(report_of({"run", "--suppressions", "a", "--", "ls"}).suppressions, ElementsAre("a"));
}

TEST(JudgementOptions, FailOnTakesOneConditionOrOneForEachSortOfKinds) {
  EXPECT_EQ(report_of({"-p", "1", "--fail-on", "growing"}).fail_on, analyze::FailOn{});
  EXPECT_EQ(report_of({"run", "--fail-on", "growing:1K/s", "--", "ls"}).fail_on,
            (analyze::FailOn{1024, {}}));
  EXPECT_EQ(report_of({"report", "--fail-on", "growing:1K,growing:5", "recording"}).fail_on,
            (analyze::FailOn{1024, 5}));
  EXPECT_EQ(report_of({"-p", "1", "--fail-on", "growing:1K", "--fail-on", "growing:5/s"}).fail_on,
            (analyze::FailOn{1024, 5}));
}

TEST(JudgementOptions, WrongOnesAreWrongUsage) {
  EXPECT_THAT(message_of({"-p", "1", "--fail-on", ""}), HasSubstr("its value is empty"));
  for (const char* condition : {"plateau", "growing:", "growing:fast", "growing:0"}) {
    EXPECT_THAT(message_of({"-p", "1", "--fail-on", condition}), HasSubstr("growing"));
  }
  EXPECT_THAT(message_of({"-p", "1", "--fail-on", "growing:1K", "--fail-on", "growing:2K"}),
              HasSubstr("two rates"));
  EXPECT_THAT(message_of({"-p", "1", "--suppressions", ""}), HasSubstr("its value is empty"));
  (void)message_of({"record", "-o", "f", "-p", "1", "--fail-on", "growing"});
  (void)message_of({"record", "-o", "f", "-p", "1", "--suppressions", "a"});
  (void)message_of({"doctor", "--fail-on", "growing"});
}

}  // namespace
}  // namespace leaktrace::app
