// SPDX-License-Identifier: Apache-2.0
//
// Call sites that a file suppresses: are they left out, in every output and of --fail-on, and is
// what they hold said all the same?
#include <gmock/gmock.h>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Leaks 1600 blocks of 48 bytes in hold_for_jump, and more in other functions.
constexpr const char* kProgram = "leak_longjmp";

class Suppressions : public RuntimeTest {
 protected:
  /// A suppression file of this test.
  std::string rules(const std::string& text) {
    const std::string path = dir_.file("rules" + std::to_string(++files_) + ".yaml");
    write_whole(path, text);
    return path;
  }

  std::string record(const std::vector<std::string>& command) {
    const std::string path = dir_.file("recording");
    std::vector<std::string> arguments = {"record", "-o", path, "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return path;
  }

  static Outcome report(const std::string& recording, const std::string& format,
                        const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"report", recording, "--format", format};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_leaktrace(arguments);
  }

  int files_ = 0;
};

constexpr const char* kHoldForJump =
    "- function: hold_for_jump\n"
    "  module: leak_longjmp\n"
    "  reason: held until the jump\n";

TEST_F(Suppressions, LeaveOutASiteAndSayWhatItHolds) {
  const TracedRun whole = run_traced({testprog(kProgram)});
  ASSERT_EQ(whole.outcome.status, 0) << whole.outcome.err;
  ASSERT_EQ(whole.report().outstanding("hold_for_jump"), (Amount{1600, 76800}));
  ASSERT_TRUE(whole.report().json().at("suppressed").empty());

  const std::string file = rules(kHoldForJump);
  const TracedRun traced = run_traced({testprog(kProgram)}, {"--suppressions", file});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.sites_with("hold_for_jump"), 0U);
  EXPECT_FALSE(report.json().at("sites").empty()) << "others were left out too";
  const auto& suppressed = report.json().at("suppressed");
  ASSERT_EQ(suppressed.size(), 1U);
  EXPECT_EQ(suppressed[0].at("entry"), file + ":1");
  EXPECT_EQ(suppressed[0].at("reason"), "held until the jump");
  EXPECT_EQ(suppressed[0].at("state"), "matched");
  EXPECT_EQ(suppressed[0].at("sites"), whole.report().sites_with("hold_for_jump"));
  EXPECT_EQ(suppressed[0].at("outstanding").at("count"), 1600);
  EXPECT_EQ(suppressed[0].at("outstanding").at("bytes"), 76800);
  EXPECT_EQ(report.json().at("all").at("sites"), whole.report().json().at("all").at("sites"));
}

TEST_F(Suppressions, OfARecordingAreInEveryFormat) {
  const std::string recording = record({testprog(kProgram)});
  const std::string file = rules(std::string(kHoldForJump) +
                                 "- function: no_such_function\n"
                                 "  reason: was here once\n"
                                 "- source: '*.c*'\n"
                                 "  reason: until the spring\n"
                                 "  expires: 2020-03-01\n");
  const Outcome text = report(recording, "text", {"--suppressions", file});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, Not(HasSubstr("#0   hold_for_jump")));
  EXPECT_THAT(text.out, HasSubstr("75.0 KiB in 1600 resources (held until the jump;"));
  EXPECT_THAT(text.out, HasSubstr("suppression that fits nothing outstanding (was here once;"));
  EXPECT_THAT(text.out, HasSubstr("suppression expired on 2020-03-01"));

  const Report json(report(recording, "json", {"--suppressions", file}).out);
  ASSERT_EQ(json.json().at("suppressed").size(), 3U);
  EXPECT_EQ(json.json().at("suppressed")[1].at("state"), "unmatched");
  EXPECT_EQ(json.json().at("suppressed")[2].at("state"), "expired");

  const Outcome folded = report(recording, "folded", {"--suppressions", file});
  EXPECT_THAT(folded.out, Not(HasSubstr("hold_for_jump")));
  const Outcome svg = report(recording, "svg", {"--suppressions", file});
  EXPECT_THAT(svg.out, Not(HasSubstr("hold_for_jump")));
  EXPECT_THAT(svg.out, HasSubstr("suppressed"));
}

TEST_F(Suppressions, AreLookedForBehindTheTopToo) {
  const std::string recording = record({testprog(kProgram)});
  const Report whole(report(recording, "json", {}).out);
  const auto& sites = whole.json().at("sites");
  ASSERT_GE(sites.size(), 2U);
  const std::string last = sites.back().at("stack")[0].at("function");
  const std::string file = rules("- function: '" + last + "'\n  frame: innermost\n  reason: x\n");
  const Report one(report(recording, "json", {"--suppressions", file, "--top", "1"}).out);
  EXPECT_LE(one.json().at("sites").size(), 1U);
  EXPECT_EQ(one.json().at("suppressed")[0].at("state"), "matched");
}

TEST_F(Suppressions, ThatAreWrongAreToldBeforeTheCommandRuns) {
  const std::string file = rules("- function: f\n  reson: x\n");
  const Outcome outcome = run_leaktrace({"run", "--suppressions", file, "--", "echo", "was run"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr(file + ":2:3: 'reson' is no key of an entry"));
  EXPECT_EQ(outcome.out, "");
  const Outcome missing =
      run_leaktrace({"run", "--suppressions", dir_.file("missing"), "--", "echo", "was run"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("missing"));
  EXPECT_EQ(missing.out, "");
}

bool has_growing(const Report& report) {
  for (const auto& site : report.json().at("sites")) {
    if (site.at("verdict") == "growing") return true;
  }
  return false;
}

/// Whatever the verdicts are, the status is what they and the command say.
TEST_F(Suppressions, TheStatusIs3WhenASiteGrowsElseTheCommandsOwn) {
  const std::vector<std::string> leak = {testprog("steady_leak"), "1000"};
  const TracedRun traced = run_traced(leak, {"--interval", "0.1", "--fail-on", "growing"});
  if (has_growing(traced.report())) {
    EXPECT_EQ(traced.outcome.status, 3) << traced.outcome.err;
    EXPECT_THAT(traced.outcome.err, HasSubstr("leaktrace: --fail-on: flagged"));
    EXPECT_THAT(traced.outcome.err, HasSubstr("leak_tick"));
  } else {
    EXPECT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  }

  const TracedRun slow =
      run_traced(leak, {"--interval", "0.1", "--fail-on", "growing:1G/s,growing:1000000/s"});
  EXPECT_EQ(slow.outcome.status, 0) << slow.outcome.err;

  const std::string all = rules("- function: leak_tick\n  reason: it is a test\n");
  const TracedRun passed =
      run_traced(leak, {"--interval", "0.1", "--fail-on", "growing", "--suppressions", all});
  EXPECT_EQ(passed.outcome.status, 0) << passed.outcome.err;
  EXPECT_EQ(passed.report().json().at("suppressed")[0].at("state"), "matched");
  EXPECT_FALSE(has_growing(passed.report()));

  const TracedRun failed =
      run_traced({"sh", "-c", "exit 7"}, {"--fail-on", "growing", "--suppressions", all});
  EXPECT_EQ(failed.outcome.status, 7) << failed.outcome.err;
}

TEST_F(Suppressions, AShortTraceIsNoProofAndSaysSo) {
  const std::string recording = record({testprog(kProgram)});
  const Report json(report(recording, "json", {}).out);
  const Outcome outcome = report(recording, "text", {"--fail-on", "growing"});
  if (has_growing(json)) {
    EXPECT_EQ(outcome.status, 3) << outcome.err;
    return;
  }
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const auto& site : json.json().at("sites")) {
    if (site.at("verdict") != "undecided") return;
  }
  EXPECT_THAT(outcome.err, HasSubstr("every call site is undecided"));
}

}  // namespace
}  // namespace leaktrace::runtime
