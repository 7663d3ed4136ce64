// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace does to processes: nothing that they notice.
#include <gmock/gmock.h>
#include <signal.h>

#include <sstream>
#include <thread>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Run : public RuntimeTest {};

TEST_F(Run, PassesTheExitStatusOn) {
  for (const int status : {0, 1, 3, 42}) {
    EXPECT_EQ(run_leaktrace({"run", "-o", dir_.file("report"), "--", testprog("cat_and_leak"),
                             std::to_string(status)})
                  .status,
              status);
  }
}

TEST_F(Run, SaysTheSignalThatKilledTheCommand) {
  const TracedRun traced = run_traced({testprog("crasher")});
  EXPECT_EQ(traced.outcome.status, 128 + SIGSEGV);
  EXPECT_EQ(traced.report().outstanding("leak_before_crash"), (Amount{100, 25600}));
}

TEST_F(Run, LetsTheStreamsThrough) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  const Outcome outcome = run_leaktrace({"run", "--", testprog("cat_and_leak")}, {.input = text});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, text);
  EXPECT_THAT(outcome.err, HasSubstr("to stderr\n"));
  EXPECT_THAT(outcome.err, HasSubstr("leak_chunk")) << "the report goes to stderr";
}

TEST_F(Run, WritesTheReportToAFileAndNothingElsewhere) {
  const Outcome outcome = run_leaktrace(
      {"run", "-o", dir_.file("report"), "--", testprog("cat_and_leak")}, {.input = "text\n"});
  EXPECT_EQ(outcome.out, "text\n");
  EXPECT_THAT(outcome.err, Not(HasSubstr("leak_chunk")));
  EXPECT_THAT(read_whole(dir_.file("report")), HasSubstr("leak_chunk"));
}

TEST_F(Run, ForwardsSignals) {
  Process leaktrace(
      leaktrace_command({"run", "-o", dir_.file("report"), "--", testprog("signal_echo")}));
  ASSERT_TRUE(leaktrace.wait_for_line("ready"));
  for (const int number : {SIGUSR1, SIGHUP, SIGUSR2}) {
    leaktrace.signal(number);
    EXPECT_TRUE(wait_until(
        [&] { return leaktrace.out().find("got " + std::to_string(number)) != std::string::npos; },
        Seconds(10)))
        << "signal " << number;
  }
  leaktrace.signal(SIGTERM);
  const Outcome outcome = leaktrace.wait(Seconds(20));
  EXPECT_EQ(outcome.status, 5);
  EXPECT_THAT(outcome.out, HasSubstr("got 15\n"));
}

TEST_F(Run, SaysThatACommandCannotBeRun) {
  const Outcome missing = run_leaktrace({"run", "--", "/nonexistent/program"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("/nonexistent/program"));
  write_whole(dir_.file("not_executable"), "text");
  EXPECT_EQ(run_leaktrace({"run", "--", dir_.file("not_executable")}).status, 1);
}

TEST_F(Run, FindsTheCommandInThePath) {
  const Outcome outcome = run_leaktrace({"run", "-o", dir_.file("report"), "--", "echo", "hello"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "hello\n");
}

/// What comes after -- is the command's, whatever stands before it and whatever it looks like.
TEST_F(Run, LeavesTheCommandsOptionsAlone) {
  const std::vector<std::vector<std::string>> own_options = {
      {}, {"--follow"}, {"--kinds", "heap,mmap"}, {"--top", "3"}, {"--interval", "1"}};
  for (const auto& options : own_options) {
    std::vector<std::string> arguments = {"run", "-o", dir_.file("report")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    for (const char* word : {"--", "echo", "--top", "x", "-o", "y", "--", "-p", "1"}) {
      arguments.emplace_back(word);
    }
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << testing::PrintToString(options) << outcome.err;
    EXPECT_EQ(outcome.out, "--top x -o y -- -p 1\n") << testing::PrintToString(options);
  }
}

TEST_F(Run, SaysMoreWhenAsked) {
  for (const std::vector<std::string>& start :
       {std::vector<std::string>{"--verbose", "run"}, {"run", "--verbose"}, {"run", "-v"}}) {
    std::vector<std::string> arguments = start;
    for (const std::string& word :
         {std::string("-o"), dir_.file("report"), std::string("--"), std::string("true")}) {
      arguments.push_back(word);
    }
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << testing::PrintToString(start) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("probing malloc")) << testing::PrintToString(start);
  }
}

TEST_F(Run, SurvivesACommandThatStopsItself) {
  Process leaktrace(leaktrace_command(
      {"run", "--format", "json", "-o", dir_.file("report"), "--", testprog("stop_and_go")}));
  const auto pid = leaktrace.wait_for_line("stopping");
  ASSERT_TRUE(pid);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  kill(std::stoi(*pid), SIGCONT);
  const Outcome outcome = leaktrace.wait(Seconds(30));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Report report(read_whole(dir_.file("report")));
  for (const auto& [function, amount] : leaks_said(outcome.out)) {
    EXPECT_EQ(report.outstanding(function), amount) << function;
  }
}

TEST_F(Run, CountsAChildOnlyWhenItFollows) {
  const TracedRun alone = run_traced({testprog("leak_in_child")});
  EXPECT_EQ(alone.outcome.status, 0) << alone.outcome.err;
  EXPECT_EQ(alone.report().outstanding("parent_keeps"), (Amount{1000, 100000}));
  EXPECT_EQ(alone.report().outstanding("child_leaks"), Amount{});

  const TracedRun both = run_traced({testprog("leak_in_child")}, {"--follow"});
  EXPECT_EQ(both.outcome.status, 0) << both.outcome.err;
  const Report report = both.report();
  EXPECT_EQ(report.outstanding("parent_keeps"), (Amount{1000, 100000}))
      << "the child freed its own copies";
  const std::size_t at = both.outcome.out.find("child ");
  ASSERT_NE(at, std::string::npos);
  const int child = std::stoi(both.outcome.out.substr(at + 6));
  EXPECT_EQ(report.outstanding("child_leaks", "heap", child), (Amount{1000, 200000}));
}

// A program that a child begins is stopped until it is hooked; who continues it when the trace is
// over?
TEST_F(Run, LeavesChildrenAloneAfterItsDuration) {
  const Outcome outcome =
      run_leaktrace({"run", "--follow", "--duration", "0.5", "-o", dir_.file("report"), "--", "sh",
                     "-c", "sleep 2; /bin/true; /bin/echo went on"},
                    {}, Seconds(30));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "went on\n");
}

TEST_F(Run, FollowsAShellToItsChildren) {
  const TracedRun traced =
      run_traced({"/bin/sh", "-c",
                  testprog("static_leak") + " 10; " + testprog("leak_realloc_growth") + " 20"},
                 {"--follow"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_EQ(traced.report().outstanding("leak_static"), (Amount{10, 1280}));
  EXPECT_EQ(traced.report().outstanding("append_history"), (Amount{1, 20480}));
}

class Attach : public RuntimeTest {
 protected:
  /// The target answers, and its code and its mappings are as they were.
  static void expect_untouched(Process& target, const TargetMemory& memory, const std::string& code,
                               const std::vector<std::string>& mappings) {
    EXPECT_TRUE(target.running());
    EXPECT_TRUE(wait_until([&] { return memory.code() == code; }, Seconds(5)))
        << "breakpoints are left in the target";
    EXPECT_EQ(memory.file_mappings(), mappings);
    const std::string said = target.out();
    target.signal(SIGUSR2);
    EXPECT_TRUE(wait_until([&] { return target.out() != said; }, Seconds(5)))
        << "the target does not answer";
    EXPECT_THAT(target.out(), HasSubstr("alive "));
  }
};

TEST_F(Attach, LeavesTheTargetAsItWas) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const TargetMemory memory(target.pid());
  const std::string code = memory.code();
  const auto mappings = memory.file_mappings();
  ASSERT_FALSE(code.empty());

  Attached attached({target.pid()}, exactly());
  EXPECT_NE(memory.code(), code) << "no probe is in the target while it is traced";
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_GT(report.outstanding("leak_tick").count, 20U);
  EXPECT_EQ(report.outstanding("pass_tick"), Amount{});
  EXPECT_EQ(report.json().at("final"), true);
  EXPECT_EQ(report.json().at("target").at(0).at("exited"), false);
  expect_untouched(target, memory, code, mappings);
}

TEST_F(Attach, IsHarmlessWhenKilled) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const TargetMemory memory(target.pid());
  const std::string code = memory.code();
  const auto mappings = memory.file_mappings();
  Attached attached({target.pid()}, exactly());
  attached.process().signal(SIGKILL);
  EXPECT_EQ(attached.process().wait().status, 128 + SIGKILL);
  expect_untouched(target, memory, code, mappings);
}

TEST_F(Attach, EndsAfterItsDurationAndCanBeRepeated) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const TargetMemory memory(target.pid());
  const std::string code = memory.code();
  const auto mappings = memory.file_mappings();
  for (int round = 0; round < 3; ++round) {
    Attached attached({target.pid()}, exactly({"--duration", "1"}));
    const Report report = attached.wait(Seconds(20));
    EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
    EXPECT_GT(report.outstanding("leak_tick").count, 20U);
    EXPECT_LT(report.outstanding("leak_tick").count, 600U);
  }
  expect_untouched(target, memory, code, mappings);
}

TEST_F(Attach, PrintsAReportEachIntervalOnStdout) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = run_leaktrace({"attach", "-p", std::to_string(target.pid()), "--duration",
                                         "3", "--interval", "1", "--sample-bytes", "exact"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("leak_tick"));
  std::size_t reports = 0;
  for (std::size_t at = 0; (at = outcome.out.find("outstanding in", at)) != std::string::npos;
       ++at) {
    ++reports;
  }
  EXPECT_GE(reports, 2U) << outcome.out;
}

TEST_F(Attach, NeedsNoCommandWord) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = run_leaktrace(
      {"-p", std::to_string(target.pid()), "--duration", "1", "--sample-bytes", "exact"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("leak_tick"));
}

TEST_F(Attach, TracesTwoProcessesAtOnce) {
  Process first({testprog("static_leak"), "--wait", "--linger", "111"});
  Process second({testprog("leak_mmap"), "--wait", "--linger", "22"});
  ASSERT_TRUE(first.wait_for_line("ready"));
  ASSERT_TRUE(second.wait_for_line("ready"));
  Attached attached({first.pid(), second.pid()}, exactly());
  first.signal(SIGUSR1);
  second.signal(SIGUSR1);
  ASSERT_TRUE(first.wait_for_line("done"));
  ASSERT_TRUE(second.wait_for_line("done"));
  const Report report = attached.stop();
  EXPECT_EQ(report.json().at("target").size(), 2U);
  EXPECT_EQ(report.outstanding("leak_static", "heap", first.pid()), (Amount{111, 111 * 128}));
  EXPECT_EQ(report.outstanding("leak_mapping", "mmap", second.pid()), (Amount{22, 22 * 65536}));
  EXPECT_EQ(report.outstanding("leak_static").count, 111U);
}

TEST_F(Attach, GoesOnWithTheOtherWhenOneEnds) {
  Process first({testprog("static_leak"), "--wait", "50"});
  Process second({testprog("leak_realloc_growth"), "--wait", "--linger", "60"});
  ASSERT_TRUE(first.wait_for_line("ready"));
  ASSERT_TRUE(second.wait_for_line("ready"));
  Attached attached({first.pid(), second.pid()}, exactly());
  first.signal(SIGUSR1);
  EXPECT_EQ(first.wait().status, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_TRUE(attached.process().running());
  second.signal(SIGUSR1);
  ASSERT_TRUE(second.wait_for_line("done"));
  const Report report = attached.stop();
  EXPECT_EQ(report.outstanding("leak_static").count, 50U);
  EXPECT_EQ(report.outstanding("append_history"), (Amount{1, 60 * 1024}));
}

TEST_F(Attach, ReportsAtTheTargetsEnd) {
  Process target({testprog("crasher"), "--wait", "77"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  const Report report = attached.wait(Seconds(20));
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.outstanding("leak_before_crash"), (Amount{77, 77 * 256}));
  EXPECT_EQ(report.json().at("target").at(0).at("exited"), true);
}

TEST_F(Attach, FollowsChildren) {
  Process target({testprog("leak_in_child"), "--wait", "--linger"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly({"--follow"}));
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  const Report report = attached.stop();
  EXPECT_EQ(report.outstanding("parent_keeps"), (Amount{1000, 100000}));
  EXPECT_EQ(report.outstanding("child_leaks"), (Amount{1000, 200000}));
}

/// The pid of the only child of a process, in our own pid namespace.
int only_child(pid_t pid) {
  const std::string task = std::to_string(pid);
  std::istringstream children(read_whole("/proc/" + task + "/task/" + task + "/children"));
  int child = 0;
  children >> child;
  return child;
}

/// A program in other pid and mount namespaces, under a path that exists only there.
TEST_F(Attach, ReachesIntoNamespaces) {
  const std::string inner = dir_.file("inner");
  const std::string script = "set -e; mkdir " + inner + "; mount -t tmpfs none " + inner + "; cp " +
                             testprog("namespace_leak") + " " + inner + "/private; exec " + inner +
                             "/private --wait --linger";
  Process outer({"unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child", "sh",
                 "-c", script});
  const auto inner_pid = outer.wait_for_line("ready");
  if (!inner_pid) GTEST_SKIP() << "no namespaces here: " << outer.err();
  ASSERT_EQ(read_whole(inner + "/private"), "") << "the path should not exist out here";
  const int pid = only_child(outer.pid());
  ASSERT_GT(pid, 0);
  ASSERT_NE(std::to_string(pid), *inner_pid);
  Attached attached({pid}, exactly());
  kill(pid, SIGUSR1);
  ASSERT_TRUE(outer.wait_for_line("done"));
  const Report report = attached.stop();
  EXPECT_EQ(report.outstanding("leak_in_namespace", "heap", pid), (Amount{450, 450 * 333}));
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::runtime
