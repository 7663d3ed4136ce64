// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/output/sample_report.h"
#include "user/base/printable.h"
#include "user/output/estimates.h"
#include "user/output/reasons.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Text, FitsAHundredColumnsWhateverTheNames) {
  for (const analyze::Report& report :
       {awkward_report(), plain_report(), empty_report(), sampled_report(), paused_report()}) {
    std::istringstream lines(write_text(report));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(columns(line), 100U) << line;
      EXPECT_EQ(printable(line), line) << "a terminal would obey this line";
    }
  }
}

TEST(Text, SaysWhatAnEngineerAsksFirst) {
  const std::string text = write_text(plain_report());
  EXPECT_THAT(text, HasSubstr("server (1234)"));
  EXPECT_THAT(text,
              HasSubstr("60.0 KiB (100.0 %) outstanding in 60 blocks, +1.0 KiB/s, +1.00 blocks/s"));
  EXPECT_THAT(text, HasSubstr("oldest <= 59 s"));
  EXPECT_THAT(text, HasSubstr("acquired 61.0 KiB in 61 blocks, released 1.0 KiB in 1 block\n"));
  EXPECT_THAT(text, HasSubstr("#0   leaky_handler  src/main.c:14  (server)"));
  EXPECT_THAT(text, HasSubstr("no losses"));
  EXPECT_THAT(text, Not(HasSubstr("undecided")));
  EXPECT_THAT(text, Not(HasSubstr("cut")));
}

TEST(Text, AnEmptyReportSaysSo) {
  const std::string text = write_text(empty_report());
  EXPECT_THAT(text, HasSubstr("nothing is outstanding"));
  EXPECT_THAT(text, HasSubstr("true (4321) exited with status 0"));
  analyze::Report sampled = empty_report();
  sampled.sampling_bytes = sampled.sampling_bytes_now = 4096;
  EXPECT_THAT(write_text(sampled), HasSubstr("no sample is outstanding"));
  EXPECT_THAT(write_text(sampled), Not(HasSubstr("nothing is outstanding")));
  analyze::Report cut = plain_report();
  cut.sites.clear();  // --top 0
  EXPECT_THAT(write_text(cut), Not(HasSubstr("nothing is outstanding")));
}

TEST(Text, EveryLossIsExplainedAndZeroOnesAreNot) {
  const std::string text = write_text(awkward_report());
  for (std::string_view name : model::kLossNames) {
    EXPECT_THAT(text, HasSubstr(std::string(name)));
    EXPECT_FALSE(loss_meaning(name).empty()) << name;
  }
  analyze::Report one = plain_report();
  one.losses[8] = 5;
  EXPECT_THAT(write_text(one), HasSubstr("given back what was acquired before tracing began"));
  EXPECT_THAT(write_text(one), Not(HasSubstr("read_fault")));
}

TEST(Text, FilesThatCouldNotBeReadAreNamedAFewOfThem) {
  analyze::Report report = plain_report();
  report.file_losses = {{"/lib/a.so", model::FileSubject::unwind, 12, "malformed"}};
  EXPECT_THAT(write_text(report), HasSubstr("unwind    /lib/a.so: 12 left out: malformed\n"));
  EXPECT_THAT(write_text(report), Not(HasSubstr("no losses")));
  EXPECT_THAT(write_text(report), Not(HasSubstr("more")));
  report.file_losses = std::vector<model::FileLoss>(
      14, {"/lib/b.so", model::FileSubject::symbols, 0, "not an ELF file"});
  EXPECT_THAT(write_text(report), HasSubstr("symbols   /lib/b.so: not an ELF file\n"));
  EXPECT_THAT(write_text(report), HasSubstr("… and 4 more\n"));
}

TEST(Text, SaysWhatIsNotSeenAndWhatToDo) {
  analyze::Report report = empty_report();
  EXPECT_THAT(write_text(report), Not(HasSubstr("unseen")));
  report.not_seen = {
      {model::UnseenSubject::allocator, "/srv/app", "it has a pool", "a plain build"},
      {model::UnseenSubject::process, "app (7)", "no probe fired in it", ""}};
  EXPECT_THAT(write_text(report),
              HasSubstr("  unseen  the heap of /srv/app is not seen: it has a pool; try: a plain "
                        "build\n          process app (7) is not seen: no probe fired in it\n"));
  report.not_seen.resize(9, report.not_seen[1]);
  EXPECT_THAT(write_text(report), HasSubstr("… and 4 more\n"));
}

TEST(Text, StacksThatAreNotWholeSayWhy) {
  const std::string text = write_text(awkward_report());
  EXPECT_THAT(text, HasSubstr("stack cut here: it is deeper than the 127 frames"));
  EXPECT_THAT(text, HasSubstr("stack cut here: no unwind information"));
  EXPECT_THAT(text, HasSubstr("no stack: none was asked for, the tables of stacks were full"));
}

TEST(Text, FramesOfTheAllocatorAreFolded) {
  const std::string text = write_text(awkward_report());
  EXPECT_THAT(text, HasSubstr("#0   operator new(unsigned long)  (libstdc++.so.6.0.30)"));
  EXPECT_THAT(text,
              HasSubstr("2 frames of the allocator, the standard library or the interpreter"));
  EXPECT_THAT(text, Not(HasSubstr("new_allocator")));
  EXPECT_THAT(text, HasSubstr("#4   Cache<"));
}

TEST(Text, EndsOfProcessesAreInWords) {
  const std::string text = write_text(awkward_report());
  EXPECT_THAT(text, HasSubstr("(77) was killed by signal 11 (SIGSEGV) and dumped core"));
  EXPECT_THAT(text, HasSubstr("worker (1300) exited with status 3"));
  EXPECT_THAT(text, HasSubstr("this recording is cut off"));
}

TEST(Text, AVerdictIsNeverCertain) {
  analyze::Report report = plain_report();
  report.sites[0].verdict = analyze::Verdict::growing;
  report.sites[0].confidence = 1;
  report.sites[0].evidence = "because";
  EXPECT_THAT(write_text(report), HasSubstr("growing (99.9 % sure): because"));
}

TEST(Text, EstimatesAreCalledThatWithTheirLimits) {
  const std::string text = write_text(sampled_report());
  EXPECT_THAT(text, HasSubstr("mode    sampled, one in 512 KiB on average: counts and bytes are "
                              "estimates (95 % intervals);"));
  EXPECT_THAT(text, HasSubstr("2.9 MiB (85.2 %) outstanding in about 15203 blocks"));
  EXPECT_THAT(text, HasSubstr("from 6 samples; with 95 % confidence 1.3 MiB to 5.7 MiB, 6700 to "
                              "29900 blocks"));
  EXPECT_THAT(text, HasSubstr("from 1 sample; with 95 % confidence 6.8 KiB to 2.8 MiB"));
  EXPECT_THAT(text, HasSubstr("outstanding in about 23396 resources at 3 call sites (1.7 MiB to"));
  EXPECT_THAT(text, HasSubstr("outstanding in 1 mapping, "));
  EXPECT_THAT(text, HasSubstr("58 s old, stands for 2622\n"));
  EXPECT_THAT(text, HasSubstr("oldest sample\n    <= 59 s"));
  EXPECT_THAT(text, Not(HasSubstr("presumed")));
  EXPECT_THAT(write_text(plain_report()), Not(HasSubstr("confidence")));
  EXPECT_THAT(write_text(plain_report()), Not(HasSubstr("about")));
}

TEST(Text, WhatWasNotObservedIsSaid) {
  analyze::Report report = paused_report();
  EXPECT_THAT(write_text(report), HasSubstr("observed 37 % of the time to keep a budget of 5 %"));
  EXPECT_THAT(write_text(report), HasSubstr("confidence, of what was observed)"));
  EXPECT_THAT(write_text(report),
              HasSubstr("left out: 254.0 KiB in 1300 blocks that are presumed released"));
  EXPECT_THAT(mode_words(report), HasSubstr("one in 512 KiB on average, by now in 8 MiB: "));
  report.sampling_bytes = report.sampling_bytes_now = 0;
  report.duty_percent = 3.25;
  report.budget_percent.reset();
  EXPECT_EQ(mode_words(report),
            "exact; observed 3.2 % of the time: what was acquired in the rest is in no number, and "
            "unseen releases are estimated");
  report.duty_percent = 99.9;  // the time that attaching takes
  EXPECT_EQ(mode_words(report), "exact");
  report.sampling_bytes = report.sampling_bytes_now = 1000;
  EXPECT_EQ(short_mode_words(report), "sampled, one in 1000 B on average");
  report.sampling_bytes_now = 1500;
  report.budget_percent = 0.5;
  EXPECT_EQ(short_mode_words(report),
            "sampled, one in 1000 B on average, by now in 1.5 KiB, at most 0.5 % slower");
}

TEST(Text, LongListsOfBlocksEndWithTheirRest) {
  EXPECT_THAT(write_text(awkward_report()), HasSubstr("5 blocks more"));
}

}  // namespace
}  // namespace leaktrace::output
