// SPDX-License-Identifier: Apache-2.0
//
// Where probes go, and where they must not: code that was patched in memory, functions that a
// debugger or another tracer has its own probes on.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Seconds kWhile{20};

/// The losses of files that are about probes.
std::vector<nlohmann::json> probe_losses(const Report& report) {
  std::vector<nlohmann::json> losses;
  for (const auto& loss : report.json().at("file_losses")) {
    if (loss.at("subject") == "probes") losses.push_back(loss);
  }
  return losses;
}

pid_t pid_said(Process& process, const std::string& word) {
  const auto said = process.wait_for_line(word);
  return said ? std::stoi(*said) : -1;
}

/// Has the target leaked for a while under the trace?
void wait_for_ticks() {
  ::usleep(400'000);
}

class ProbeSites : public RuntimeTest {};

/// A program that replaced a function of its libc, and what leaktrace reports of it.
struct Patched {
  Process program;
  pid_t pid = -1;

  explicit Patched(const std::string& function)
      : program({testprog("hot_patch"), function}), pid(pid_said(program, "running")) {}

  /// Ends it; how often it called the function, and came to its own.
  std::pair<std::string, std::string> end() {
    program.signal(SIGTERM);
    const auto calls = program.wait_for_line("calls");
    const auto replaced = program.wait_for_line("replaced");
    EXPECT_EQ(program.wait(kWhile).status, 0);
    return {calls.value_or("?"), replaced.value_or("??")};
  }
};

TEST_F(ProbeSites, LeaveOutAFunctionThatWasPatched) {
  Patched patched("valloc");
  ASSERT_GT(patched.pid, 0);
  Attached attached({patched.pid}, exactly());
  wait_for_ticks();
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  const auto losses = probe_losses(report);
  ASSERT_THAT(losses, SizeIs(1)) << report.json().at("file_losses");
  EXPECT_THAT(losses[0].at("file").get<std::string>(), HasSubstr("libc.so"));
  EXPECT_EQ(losses[0].at("count"), 1);
  EXPECT_EQ(losses[0].at("why"), "valloc: patched in memory");
  EXPECT_GT(report.outstanding("leak_tick").count, 10U);

  const auto [calls, replaced] = patched.end();
  EXPECT_EQ(calls, replaced);  // also while it was traced
}

// Without releases every block would look leaked.
TEST_F(ProbeSites, LeaveOutTheHeapWhenFreeWasPatched) {
  Patched patched("free");
  ASSERT_GT(patched.pid, 0);
  Attached attached({patched.pid}, exactly());
  wait_for_ticks();
  const Report report = attached.stop();
  const auto losses = probe_losses(report);
  ASSERT_THAT(losses, SizeIs(1)) << report.json().at("file_losses");
  EXPECT_GT(losses[0].at("count"), 5);
  EXPECT_THAT(losses[0].at("why").get<std::string>(),
              AllOf(HasSubstr("free: patched in memory"), HasSubstr("left out too")));
  EXPECT_EQ(report.outstanding("leak_tick").count, 0U);

  const auto [calls, replaced] = patched.end();
  EXPECT_EQ(calls, replaced);
}

TEST_F(ProbeSites, SayWhyWhenNothingIsLeftToHook) {
  Patched patched("free");
  ASSERT_GT(patched.pid, 0);
  const Outcome outcome = run_leaktrace(
      {"attach", "-p", std::to_string(patched.pid), "--kinds", "heap", "--duration", "1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("no allocator that can be hooked safely"),
                                 HasSubstr("free: patched in memory")));
  const auto [calls, replaced] = patched.end();
  EXPECT_EQ(calls, replaced);
}

// To follow children, probes go into every process that maps the file.
TEST_F(ProbeSites, LeaveOutWhatAnotherProcessHasPatched) {
  Patched patched("valloc");
  ASSERT_GT(patched.pid, 0);
  const TracedRun traced = run_traced({testprog("leak_realloc_growth")}, {"--follow"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const auto losses = probe_losses(traced.report());
  ASSERT_THAT(losses, SizeIs(1)) << traced.report().json().at("file_losses");
  EXPECT_EQ(losses[0].at("why"),
            "valloc: patched in memory (in process " + std::to_string(patched.pid) + ")");
  const auto [calls, replaced] = patched.end();
  EXPECT_EQ(calls, replaced);
}

/// steady_leak, which leaks 1 KiB each 5 ms.
struct SteadyLeak {
  Process program{std::vector<std::string>{testprog("steady_leak")}};
  pid_t pid = pid_said(program, "running");
};

TEST_F(ProbeSites, TwoTracersOfOneProcessSeeTheSame) {
  SteadyLeak target;
  ASSERT_GT(target.pid, 0);
  Attached first({target.pid}, exactly());
  Attached second({target.pid}, exactly());
  wait_for_ticks();
  const Report of_second = second.stop();
  const Report of_first = first.stop();
  for (const Report* report : {&of_first, &of_second}) {
    EXPECT_GT(report->outstanding("leak_tick").count, 10U);
    EXPECT_EQ(report->outstanding("pass_tick").count, 0U);
    EXPECT_THAT(probe_losses(*report), IsEmpty());
    EXPECT_THAT(harmful_losses(*report), IsEmpty());
  }
  EXPECT_GE(of_first.outstanding("leak_tick").count, of_second.outstanding("leak_tick").count);
  EXPECT_TRUE(target.program.running());
}

/// leaktrace itself holds what it starts as a debugger would: that makes the other's probes no
/// breakpoints of a debugger.
TEST_F(ProbeSites, ACommandIsTracedWhereAnotherTraceHasProbesInAllProcesses) {
  SteadyLeak elsewhere;
  ASSERT_GT(elsewhere.pid, 0);
  Attached other({elsewhere.pid}, exactly({"--follow"}));
  const TracedRun traced = run_traced({testprog("leak_realloc_growth")});
  other.stop();
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_THAT(probe_losses(traced.report()), IsEmpty());
  for (const auto& [function, amount] : leaks_said(traced.outcome.out)) {
    EXPECT_EQ(traced.report().outstanding(function), amount) << function;
  }
}

TEST_F(ProbeSites, AnotherToolsUprobesAreNoObstacle) {
  if (::access("/usr/bin/bpftrace", X_OK) != 0) GTEST_SKIP() << "bpftrace is not installed";
  SteadyLeak target;
  ASSERT_GT(target.pid, 0);
  const std::string libc = "/lib/x86_64-linux-gnu/libc.so.6";
  if (::access(libc.c_str(), R_OK) != 0) GTEST_SKIP() << libc << " is not here";
  Process other({"/usr/bin/bpftrace", "-p", std::to_string(target.pid), "-e",
                 "uprobe:" + libc + ":malloc { @m = count(); } uretprobe:" + libc +
                     ":malloc { @r = count(); } uprobe:" + libc +
                     ":free { @f = count(); } BEGIN { printf(\"begun now\\n\"); }"});
  ASSERT_TRUE(other.wait_for_line("begun", Seconds(40)).has_value()) << other.err();
  Attached attached({target.pid}, exactly());
  wait_for_ticks();
  const Report report = attached.stop();
  EXPECT_GT(report.outstanding("leak_tick").count, 10U);
  EXPECT_EQ(report.outstanding("pass_tick").count, 0U);
  EXPECT_THAT(probe_losses(report), IsEmpty());
  EXPECT_THAT(harmful_losses(report), IsEmpty());
  other.signal(SIGINT);
  const Outcome outcome = other.wait(kWhile);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("@m: "), HasSubstr("@f: "), HasSubstr("@r: ")));
  EXPECT_TRUE(target.program.running());
}

/// 'S': asleep, 't': stopped by a debugger.
char state_of(pid_t pid) {
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(") ");
  return name_end == std::string::npos ? '?' : stat[name_end + 2];
}

// Two who both think that the breakpoint is theirs would stop the program for good.
TEST_F(ProbeSites, LeaveOutAFunctionWithADebuggersBreakpoint) {
  if (::access("/usr/bin/gdb", X_OK) != 0) GTEST_SKIP() << "gdb is not installed";
  SteadyLeak target;
  ASSERT_GT(target.pid, 0);
  // At the address itself: a breakpoint on a name is behind the first instructions.
  Process debugger({"/usr/bin/gdb", "-q", "-batch", "-p", std::to_string(target.pid), "-ex",
                    "break *calloc", "-ex", "shell echo debugging now", "-ex", "continue"});
  ASSERT_TRUE(debugger.wait_for_line("debugging", Seconds(40)).has_value()) << debugger.err();
  ASSERT_TRUE(wait_until([&] { return state_of(target.pid) == 'S'; }, kWhile));
  Attached attached({target.pid}, exactly());
  wait_for_ticks();
  const Report report = attached.stop();
  const auto losses = probe_losses(report);
  ASSERT_THAT(losses, SizeIs(1)) << report.json().at("file_losses");
  EXPECT_EQ(losses[0].at("why"), "calloc: may have a breakpoint of the debugger");
  EXPECT_GT(report.outstanding("leak_tick").count, 10U);
  EXPECT_TRUE(target.program.running());
  debugger.signal(SIGINT);
  EXPECT_FALSE(debugger.wait(kWhile).timed_out);
}

TEST_F(ProbeSites, AreListedByDoctor) {
  const Outcome outcome = run_leaktrace({"doctor", "--probes", "libc.so.6", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto listing = nlohmann::json::parse(outcome.out);
  EXPECT_TRUE(listing.at("tried"));
  std::size_t seen = 0;
  for (const auto& one : listing.at("functions")) {
    EXPECT_EQ(one.at("distance"), one.at("offset").get<int>() - one.at("entry_offset").get<int>());
    EXPECT_NE(one.at("instruction"), "");
    if (one.at("function") != "free" && one.at("function") != "malloc") continue;
    EXPECT_TRUE(one.at("emulated")) << one;
    ++seen;
  }
  EXPECT_EQ(seen, 2U);
  const Outcome text = run_leaktrace({"doctor", "--probes", "libc.so.6"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("malloc"), HasSubstr("emulated (")));
}

TEST(ProbeListing, SaysWhatIsWrongWithAFile) {
  const auto errors = [](const std::string& library) {
    const Outcome outcome = run_leaktrace({"doctor", "--probes", library});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  };
  EXPECT_THAT(errors("/nowhere/libx.so"), HasSubstr("No such file"));
  EXPECT_THAT(errors("libnosuchlibrary.so.7"), HasSubstr("in the standard folders"));
  EXPECT_THAT(errors("/etc/passwd"), HasSubstr("not an ELF file"));
  EXPECT_THAT(errors("/dev/null"), HasSubstr("no file with code"));
  EXPECT_THAT(errors(testprog("crasher")), HasSubstr("no function that leaktrace hooks"));
  EXPECT_EQ(run_leaktrace({"doctor", "--probes", ""}).status, 2);
}

}  // namespace
}  // namespace leaktrace::runtime
