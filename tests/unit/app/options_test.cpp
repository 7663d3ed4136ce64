// SPDX-License-Identifier: Apache-2.0
#include "user/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace leaktrace::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ParsedLine parse(std::vector<const char*> words) {
  words.insert(words.begin(), "leaktrace");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

template <typename Expected>
Expected parsed(std::vector<const char*> words) {
  ParsedLine line = parse(std::move(words));
  EXPECT_TRUE(line.command.has_value());
  if (!line.command || !std::holds_alternative<Expected>(*line.command)) {
    ADD_FAILURE() << "another command";
    return {};
  }
  return std::get<Expected>(*line.command);
}

TEST(Options, PidAloneAttaches) {
  auto command = parsed<TraceCommand>({"-p", "12", "-p", "34"});
  EXPECT_THAT(command.target.pids, ElementsAre(12, 34));
  EXPECT_THAT(command.target.command, IsEmpty());
  EXPECT_EQ(command.report.format, "text");
}

TEST(Options, WithoutACommandWordAttachIsMeant) {
  auto command = parsed<TraceCommand>({"-p", "12", "--duration", "1", "--top", "3"});
  EXPECT_THAT(command.target.pids, ElementsAre(12));
  EXPECT_DOUBLE_EQ(*command.trace.duration_seconds, 1);
}

TEST(Options, UnwindTablesHaveAFolderAndABound) {
  auto usual = parsed<TraceCommand>({"-p", "1"});
  EXPECT_EQ(usual.trace.unwind_cache, std::nullopt);
  EXPECT_EQ(usual.trace.max_unwind_memory, 256U << 20);
  auto none = parsed<TraceCommand>({"-p", "1", "--unwind-cache", "none"});
  EXPECT_EQ(none.trace.unwind_cache, "");
  auto own =
      parsed<TraceCommand>({"-p", "1", "--unwind-cache", "/tmp/x", "--max-unwind-memory", "8M"});
  EXPECT_EQ(own.trace.unwind_cache, "/tmp/x");
  EXPECT_EQ(own.trace.max_unwind_memory, 8U << 20);
  EXPECT_FALSE(parse({"-p", "1", "--unwind-cache", ""}).command.has_value());
  EXPECT_FALSE(parse({"-p", "1", "--max-unwind-memory", "1G"}).command.has_value());
}

/// What is said of a command line that is refused as wrong usage.
std::string refusal(std::vector<const char*> words) {
  testing::internal::CaptureStderr();
  const ParsedLine line = parse(std::move(words));
  EXPECT_FALSE(line.command.has_value());
  EXPECT_EQ(line.status, 2);
  return testing::internal::GetCapturedStderr();
}

TEST(Options, ASizeOrNumberBelowZeroIsNoHugeOne) {
  for (const char* wrong : {"-1", "-1K", "x", "1.5", "99999999999999999999999", "+3"}) {
    EXPECT_THAT(refusal({"report", "x", "--top", wrong}), HasSubstr("is no number of call sites"));
    EXPECT_THAT(refusal({"diff", "x", "y", "--top", wrong}), HasSubstr("is no number of"));
  }
  for (const char* wrong : {"-1", "-4K", "x", "99999999999999999999999"}) {
    EXPECT_THAT(refusal({"report", "x", "--min-size", wrong}), HasSubstr("is no size"));
    EXPECT_THAT(refusal({"-p", "1", "--max-size", wrong}), HasSubstr("is no size"));
    EXPECT_THAT(refusal({"-p", "1", "--max-unwind-memory", wrong}), HasSubstr("is no size"));
    EXPECT_THAT(refusal({"-p", "1", "--sql-bytes", wrong}), HasSubstr("is no size"));
  }
  for (const char* option : {"--max-live", "--max-stacks", "--max-sites", "--max-threads"}) {
    EXPECT_THAT(refusal({"-p", "1", option, "-1"}),
                HasSubstr("'-1' is no number of entries: 1 to"));
  }
  EXPECT_THAT(refusal({"-p", "1", "--sql-bytes", "1M"}), HasSubstr("512 to 65536 bytes"));
  EXPECT_EQ(
      parsed<ReportCommand>({"report", "x", "--top", "0", "--min-size", "4K"}).report.min_size,
      4096U);
}

TEST(Options, NoValueMayBeEmpty) {
  for (const char* option : {"--top", "-o", "--format", "--min-size", "--older", "--kinds",
                             "--fail-on", "--suppressions"}) {
    EXPECT_THAT(refusal({"report", "x", option, ""}),
                HasSubstr(std::string(option) + ": its value is empty"));
  }
  EXPECT_THAT(refusal({"report", "x", "--top="}), HasSubstr("--top: its value is empty"));
  EXPECT_THAT(refusal({"-p", ""}), HasSubstr("-p: its value is empty"));
  EXPECT_THAT(refusal({"report", ""}), HasSubstr("an argument is empty"));
  EXPECT_THAT(refusal({"run", "--", ""}), HasSubstr("the command's name is empty"));
  EXPECT_TRUE(parse({"run", "--", "echo", ""}).command.has_value()) << "the command's own words";
}

TEST(Options, AProcessIdThatIsNoneIsToldInAShortLine) {
  for (const char* wrong : {"0", "-5", "one", "1e308", "99999999999"}) {
    const std::string said = refusal({"attach", "-p", wrong});
    EXPECT_THAT(said, HasSubstr("is no process id: 1 to 4194304"));
    EXPECT_LT(said.size(), 150U) << said;
  }
}

TEST(Options, NoTerminalObeysWhatTheUserWrote) {
  const char* red = "\x1b[31mred\a";
  for (const auto& words : std::vector<std::vector<const char*>>{{red},
                                                                 {"report", "x", "--format", red},
                                                                 {"report", "x", "--min-size", red},
                                                                 {"attach", "-p", red},
                                                                 {"report", "x", "--kinds", red},
                                                                 {"report", "x", "y", red}}) {
    const std::string said = refusal(words);
    EXPECT_THAT(said, HasSubstr("\uFFFD[31mred\uFFFD"));
    EXPECT_EQ(said.find_first_of("\x1b\a"), std::string::npos);
  }
}

TEST(Options, AFamilyOfKindsStandsForItsKinds) {
  auto command = parsed<TraceCommand>({"-p", "1", "--kinds", "heap,pg,pg.cursor"});
  EXPECT_EQ(command.report.kinds.size(), model::kKinds.size() - 1);  // all but mmap, each once
  EXPECT_FALSE(parse({"-p", "1", "--kinds", "pgx"}).command.has_value());
}

TEST(Options, WhatIsNeverSampledHasABudgetOfItsOwn) {
  auto sessions = parsed<TraceCommand>({"-p", "1", "--kinds", "pg"});
  EXPECT_EQ(sessions.trace.budget_percent, kDefaultPostgresBudgetPercent);
  EXPECT_EQ(sessions.trace.sample_bytes, std::nullopt);
  EXPECT_FALSE(sessions.trace.sees_free);
  auto mixed = parsed<TraceCommand>({"-p", "1", "--kinds", "heap,pg"});
  EXPECT_EQ(mixed.trace.budget_percent, kDefaultBudgetPercent);
  auto generous = parsed<TraceCommand>({"-p", "1", "--kinds", "pg", "--budget", "7"});
  EXPECT_EQ(generous.trace.budget_percent, 7);
  auto run = parsed<TraceCommand>({"run", "--kinds", "pg", "--", "ls"});
  EXPECT_EQ(run.trace.budget_percent, std::nullopt);
  EXPECT_FALSE(parse({"-p", "1", "--kinds", "pg", "--sample-bytes", "1M"}).command.has_value());
  auto exact = parsed<TraceCommand>(
      {"-p", "1", "--kinds", "pg", "--budget", "off", "--sample-bytes", "exact"});
  EXPECT_TRUE(exact.trace.sees_free);
}

TEST(Options, SqlIsNormalizedAndCutUnlessTold) {
  auto usual = parsed<TraceCommand>({"-p", "1"});
  EXPECT_FALSE(usual.trace.raw_sql);
  EXPECT_EQ(usual.trace.sql_bytes, 4096U);
  EXPECT_EQ(usual.trace.max_connections, 65536U);
  auto told = parsed<RecordCommand>(
      {"record", "-p", "1", "-o", "x", "--show-sql", "raw", "--sql-bytes", "16K"});
  EXPECT_TRUE(told.trace.raw_sql);
  EXPECT_EQ(told.trace.sql_bytes, 16384U);
  EXPECT_FALSE(parse({"-p", "1", "--show-sql", "some"}).command.has_value());
  EXPECT_FALSE(parse({"-p", "1", "--sql-bytes", "100"}).command.has_value());
  EXPECT_FALSE(parse({"-p", "1", "--sql-bytes", "1M"}).command.has_value());
}

TEST(Options, EachIntervalWantsAFile) {
  EXPECT_FALSE(parse({"-p", "1", "--each-interval"}).command.has_value());
  EXPECT_FALSE(parse({"-p", "1", "--each-interval", "-o", "-"}).command.has_value());
  EXPECT_TRUE(parsed<TraceCommand>({"-p", "1", "--each-interval", "-o", "x"}).report.each_interval);
}

TEST(Options, VerboseMayStandAnywhere) {
  EXPECT_TRUE(parse({"-v", "attach", "-p", "1"}).command.has_value());
  EXPECT_TRUE(parse({"attach", "-v", "-p", "1"}).command.has_value());
  EXPECT_TRUE(parse({"run", "--verbose", "--", "true"}).command.has_value());
}

TEST(Options, ListsTakeOneWordEach) {
  auto command = parsed<TraceCommand>({"run", "--kinds", "heap", "--", "echo", "--threads", "1"});
  EXPECT_THAT(command.target.command, ElementsAre("echo", "--threads", "1"));
  EXPECT_THAT(command.report.kinds, ElementsAre(model::Kind::heap));
}

TEST(Options, AttachTakesSeveralPidsAndTimesWithUnits) {
  auto command = parsed<TraceCommand>(
      {"attach", "-p", "1,2", "--duration", "2m", "--interval", "500ms", "--older", "1.5h"});
  EXPECT_THAT(command.target.pids, ElementsAre(1, 2));
  EXPECT_DOUBLE_EQ(*command.trace.duration_seconds, 120);
  EXPECT_DOUBLE_EQ(command.trace.interval_seconds, 0.5);
  EXPECT_DOUBLE_EQ(*command.report.older_seconds, 5400);
}

TEST(Options, RunLeavesTheCommandsOwnOptionsAlone) {
  auto command = parsed<TraceCommand>({"run", "--top", "3", "--", "ls", "-l", "--top", "--", "-p"});
  EXPECT_THAT(command.target.command, ElementsAre("ls", "-l", "--top", "--", "-p"));
  EXPECT_EQ(command.report.top, 3U);
}

TEST(Options, SizesAndKinds) {
  auto command = parsed<TraceCommand>(
      {"attach", "-p", "1", "--min-size", "4K", "--max-size", "1MB", "--kinds", "heap,mmap"});
  EXPECT_EQ(command.report.min_size, 4096U);
  EXPECT_EQ(command.report.max_size, 1U << 20U);
  EXPECT_THAT(command.report.kinds, ElementsAre(model::Kind::heap, model::Kind::mmap));
}

TEST(Options, RecordAndReport) {
  auto record = parsed<RecordCommand>({"record", "-o", "f", "-p", "7"});
  EXPECT_EQ(record.file, "f");
  EXPECT_THAT(record.target.pids, ElementsAre(7));
  auto report = parsed<ReportCommand>({"report", "f", "--format", "json", "-o", "out"});
  EXPECT_EQ(report.file, "f");
  EXPECT_EQ(report.report.format, "json");
  EXPECT_EQ(report.report.output, "out");
}

TEST(Options, DebuginfodIsAskedOnlyWhenWanted) {
  EXPECT_FALSE(parsed<TraceCommand>({"attach", "-p", "1"}).report.debuginfod);
  EXPECT_TRUE(parsed<TraceCommand>({"attach", "-p", "1", "--debuginfod"}).report.debuginfod);
  EXPECT_TRUE(parsed<RecordCommand>({"record", "-o", "f", "-p", "7", "--debuginfod"}).debuginfod);
  EXPECT_TRUE(parsed<ReportCommand>({"report", "f", "--debuginfod"}).report.debuginfod);
}

TEST(Options, DoctorSpeaksJson) {
  EXPECT_TRUE(parsed<DoctorCommand>({"doctor", "--json"}).json);
}

TEST(Options, HelpAndVersionAreNoErrors) {
  EXPECT_EQ(parse({"--help"}).status, 0);
  EXPECT_EQ(parse({"--version"}).status, 0);
  EXPECT_EQ(parse({"attach", "--help"}).status, 0);
}

TEST(Options, RunningProcessesAreSampledWithinABudget) {
  for (const TraceOptions& trace :
       {parsed<TraceCommand>({"-p", "1"}).trace,
        parsed<RecordCommand>({"record", "-o", "f", "-p", "1"}).trace}) {
    EXPECT_EQ(trace.sample_bytes, 512U << 10);
    EXPECT_EQ(trace.budget_percent, 5);
    EXPECT_EQ(trace.max_live, 262144U);
  }
}

TEST(Options, StartedCommandsAreCountedExactly) {
  for (const TraceOptions& trace :
       {parsed<TraceCommand>({"run", "--", "ls"}).trace,
        parsed<RecordCommand>({"record", "-o", "f", "--", "ls"}).trace}) {
    EXPECT_EQ(trace.sample_bytes, std::nullopt);
    EXPECT_EQ(trace.budget_percent, std::nullopt);
    EXPECT_EQ(trace.max_live, 2097152U);
  }
}

TEST(Options, SamplingAndBudgetCanBeSaid) {
  auto exact = parsed<TraceCommand>({"-p", "1", "--sample-bytes", "exact", "--budget", "off"});
  EXPECT_EQ(exact.trace.sample_bytes, std::nullopt);
  EXPECT_EQ(exact.trace.budget_percent, std::nullopt);
  EXPECT_EQ(exact.trace.max_live, 2097152U);
  auto only_duty = parsed<TraceCommand>({"-p", "1", "--sample-bytes", "exact"});
  EXPECT_EQ(only_duty.trace.budget_percent, 5);
  auto run = parsed<TraceCommand>(
      {"run", "--sample-bytes", "64K", "--budget", "0.5", "--max-live", "9", "--", "ls"});
  EXPECT_EQ(run.trace.sample_bytes, 65536U);
  EXPECT_EQ(run.trace.budget_percent, 0.5);
  EXPECT_EQ(run.trace.max_live, 9U);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--sample-bytes", "1"}).trace.sample_bytes, 1U);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--sample-bytes", "1G"}).trace.sample_bytes, 1U << 30);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--budget", "90%"}).trace.budget_percent, 90);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--budget", "0.1"}).trace.budget_percent, 0.1);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--stack-depth", "0"}).trace.stack_depth, 0U);
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1"}).trace.stack_depth, 127U);
}

TEST(Options, EveryWayOfAttachingCanBeForced) {
  EXPECT_EQ(parsed<TraceCommand>({"-p", "1"}).trace.probe_mode, "auto");
  for (const char* mode : {"auto", "session", "multi", "single"}) {
    EXPECT_EQ(parsed<TraceCommand>({"-p", "1", "--probe-mode", mode}).trace.probe_mode, mode);
  }
}

TEST(Options, NonsensicalIntervalsAndBudgetsAreRefusedWithTheRange) {
  const auto message_of = [](const char* option, const char* value) {
    testing::internal::CaptureStderr();
    const ParsedLine line = parse({"attach", "-p", "1", option, value});
    std::string message = testing::internal::GetCapturedStderr();
    EXPECT_FALSE(line.command.has_value()) << value;
    EXPECT_EQ(line.status, 2) << value;
    return message;
  };
  for (const char* value : {"0", "-1", "-5K", "1.5", "2G", "99999999999999999999", "often",
                            "exact 5", "5 parsecs", "nan"}) {
    EXPECT_THAT(message_of("--sample-bytes", value), testing::HasSubstr("1 to 1G bytes")) << value;
  }
  for (const char* value :
       {"0", "0.05", "-5", "91", "100%", "nan", "inf", "cheap", "%", "5 %%", "1e9"}) {
    EXPECT_THAT(message_of("--budget", value), testing::HasSubstr("0.1 to 90 percent")) << value;
  }
}

TEST(Options, WrongUsageIsStatusTwo) {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
           {"attach"},
           {"attach", "-p", "0"},
           {"attach", "-p", "x"},
           {"attach", "-p", "1", "--nonsense"},
           {"attach", "-p", "1", "--format", "yaml"},
           {"attach", "-p", "1", "--interval", "0"},
           {"attach", "-p", "1", "--duration", "10 parsecs"},
           {"attach", "-p", "1", "--duration", "nan"},
           {"attach", "-p", "1", "--kinds", "heap,teapot"},
           {"attach", "-p", "1", "--min-size", "2K", "--max-size", "1K"},
           {"attach", "-p", "1", "--stack-depth", "128"},
           {"attach", "-p", "1", "--stack-depth", "-1"},
           {"attach", "-p", "1", "--max-live", "0"},
           {"attach", "-p", "1", "--probe-mode", "psychic"},
           {"run"},
           {"run", "echo", "--top", "1"},
           {"run", "--"},
           {"attach", "-p", "1", "--", "ls"},
           {"record", "-p", "1"},
           {"record", "-o", "f"},
           {"record", "-o", "f", "-p", "1", "--", "ls"},
           {"report"},
           {"dance"}}) {
    ParsedLine line = parse(words);
    EXPECT_FALSE(line.command.has_value()) << words[0];
    EXPECT_EQ(line.status, 2) << testing::PrintToString(words);
  }
}

TEST(Options, DiffTakesTwoRecordings) {
  auto command = parsed<DiffCommand>({"diff", "a.ltr", "b.ltr"});
  EXPECT_EQ(command.older, "a.ltr");
  EXPECT_EQ(command.newer, "b.ltr");
  EXPECT_EQ(command.format, "text");
  EXPECT_EQ(command.top, std::nullopt);
  EXPECT_THAT(command.kinds, IsEmpty());
  EXPECT_FALSE(command.debuginfod);
  auto told = parsed<DiffCommand>({"diff", "--format", "svg", "--top", "3", "--kinds", "heap,mmap",
                                   "-o", "d.svg", "--debuginfod", "a.ltr", "b.ltr"});
  EXPECT_EQ(told.format, "svg");
  EXPECT_EQ(told.top, 3U);
  EXPECT_THAT(told.kinds, ElementsAre(model::Kind::heap, model::Kind::mmap));
  EXPECT_EQ(told.output, "d.svg");
  EXPECT_TRUE(told.debuginfod);
}

TEST(Options, DiffRefusesWhatItCannotDo) {
  EXPECT_EQ(parse({"diff", "a.ltr"}).status, 2);
  EXPECT_EQ(parse({"diff", "a.ltr", "b.ltr", "c.ltr"}).status, 2);
  EXPECT_EQ(parse({"diff", "a.ltr", "b.ltr", "--format", "gif"}).status, 2);
  EXPECT_EQ(parse({"diff", "a.ltr", "b.ltr", "--kinds", "stack"}).status, 2);
  EXPECT_EQ(parse({"diff", "a.ltr", "b.ltr", "--older", "5s"}).status, 2);
}

}  // namespace
}  // namespace leaktrace::app
