// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace says when it cannot, and what it does at its bounds.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

/// Without privileges: wrong usage is told before anything else is tried.
class Usage : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(Usage, IsRefusedWithStatus2) {
  const Outcome outcome = run_leaktrace(GetParam());
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_THAT(outcome.err, Not(testing::IsEmpty()));
  EXPECT_EQ(outcome.out, "");
}

INSTANTIATE_TEST_SUITE_P(
    Wrong, Usage,
    testing::Values(
        std::vector<std::string>{"--nonsense"}, std::vector<std::string>{"nonsense"},
        std::vector<std::string>{"attach"}, std::vector<std::string>{"attach", "-p", "one"},
        std::vector<std::string>{"attach", "-p", "-5"},
        std::vector<std::string>{"attach", "-p", "0"},
        std::vector<std::string>{"attach", "-p", "1", "--format", "nonsense"},
        std::vector<std::string>{"attach", "-p", "1", "--kinds", "nonsense"},
        std::vector<std::string>{"attach", "-p", "1", "--interval", "-1"},
        std::vector<std::string>{"attach", "-p", "1", "--interval", "0"},
        std::vector<std::string>{"attach", "-p", "1", "--duration", "soon"},
        std::vector<std::string>{"attach", "-p", "1", "--min-size", "9", "--max-size", "5"},
        std::vector<std::string>{"attach", "-p", "1", "--probe-mode", "nonsense"},
        std::vector<std::string>{"attach", "-p", "1", "--sample-bytes", "0"},
        std::vector<std::string>{"attach", "-p", "1", "--sample-bytes", "nonsense"},
        std::vector<std::string>{"attach", "-p", "1", "--budget", "0"},
        std::vector<std::string>{"attach", "-p", "1", "--budget", "-3"},
        std::vector<std::string>{"attach", "-p", "1", "--stack-depth", "128"},
        std::vector<std::string>{"run"}, std::vector<std::string>{"run", "--"},
        std::vector<std::string>{"run", "--nonsense", "--", "true"},
        std::vector<std::string>{"record", "--", "true"}, std::vector<std::string>{"report"}));

TEST(Ranges, BudgetsAndIntervalsOutOfRangeAreToldTheRange) {
  for (const char* budget : {"0", "-3", "99", "nan", "a lot"}) {
    const Outcome outcome = run_leaktrace({"attach", "-p", "1", "--budget", budget});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.err, HasSubstr("0.1 to 90 percent, or off")) << budget;
  }
  for (const char* interval : {"0", "-512K", "2G", "sometimes"}) {
    const Outcome outcome = run_leaktrace({"run", "--sample-bytes", interval, "--", "true"});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.err, HasSubstr("1 to 1G bytes (512K), or exact")) << interval;
  }
}

TEST(Help, IsOnStdoutWithStatus0) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"run", "--help"}, {"attach", "--help"}}) {
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.out, HasSubstr("leaktrace"));
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_THAT(run_leaktrace({"--version"}).out, ContainsRegex("[0-9]+\\.[0-9]+"));
}

class Refuses : public RuntimeTest {
 protected:
  static Outcome attach(pid_t pid, std::vector<std::string> options = {}) {
    std::vector<std::string> arguments = {"attach", "-p", std::to_string(pid), "--duration", "1"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_leaktrace(arguments, {}, Seconds(30));
  }
};

TEST_F(Refuses, APidThatIsNotThere) {
  Process gone({"true"});
  const pid_t pid = gone.pid();
  gone.wait();
  const Outcome outcome = attach(pid);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr(std::to_string(pid)));
  EXPECT_THAT(outcome.err, ContainsRegex("[Nn]o such process|not running|no process"));
}

TEST_F(Refuses, AKernelThread) {
  if (read_whole("/proc/2/comm") != "kthreadd\n") GTEST_SKIP() << "no kernel threads to be seen";
  const Outcome outcome = attach(2);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("kernel thread"));
}

TEST_F(Refuses, A32BitProcess) {
  if (!std::filesystem::exists(testprog("sleeper_32bit"))) {
    GTEST_SKIP() << "no 32-bit C library when this was built (package gcc-multilib)";
  }
  Process target({testprog("sleeper_32bit")});
  ASSERT_TRUE(target.wait_for_line("ready"));
  const Outcome outcome = attach(target.pid());
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("32-bit"));
  EXPECT_TRUE(target.running());
}

TEST_F(Refuses, A32BitCommand) {
  if (!std::filesystem::exists(testprog("sleeper_32bit"))) {
    GTEST_SKIP() << "no 32-bit C library when this was built (package gcc-multilib)";
  }
  const Outcome outcome = run_leaktrace({"run", "--", testprog("sleeper_32bit")}, {}, Seconds(30));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_THAT(outcome.err, HasSubstr("32-bit"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("ready"))) << "it was run all the same";
}

TEST_F(Refuses, AProgramWithoutAnAllocator) {
  if (!std::filesystem::exists(testprog("no_allocator"))) GTEST_SKIP() << "x86-64 only";
  Process target({testprog("no_allocator")});
  ASSERT_TRUE(wait_until([&] { return target.out() == "ready\n"; }, Seconds(10)));
  const Outcome outcome = attach(target.pid());
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("allocat"));
  EXPECT_TRUE(target.running());
}

TEST_F(Refuses, AProcessThatASecurityModuleKeepsItOutOf) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = run_command(
      {testprog("landlocked"), leaktrace_path(), "attach", "-p", std::to_string(target.pid())});
  if (outcome.status == 3) GTEST_SKIP() << "no Landlock in this kernel";
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("security module (Landlock"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("as root"))) << "it is root";
}

TEST_F(Refuses, ToGoOnWithTooFewDescriptorsInItsOwnWords) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = run_command({"prlimit", "--nofile=16:16", leaktrace_path(), "attach",
                                       "-p", std::to_string(target.pid()), "--duration", "1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("Too many open files; raise the limit on open files"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("libbpf")));
}

TEST_F(Refuses, TypesOfTheKernelThatAreNone) {
  const std::string none = dir_.file("none");
  write_whole(none, "this is no BTF\n");
  const std::string mount = "mount --bind " + none + " /sys/kernel/btf/vmlinux && exec ";
  const Outcome outcome =
      run_command({"unshare", "--mount", "sh", "-c", mount + leaktrace_path() + " doctor"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, ContainsRegex("no +kernel type information .BTF. .*cannot be read"));
}

TEST_F(Refuses, ToLetTheTerminalObeyNames) {
  const std::string red = dir_.file("\x1b[31mred\a");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"report", red},
                                                    {"run", "--", red},
                                                    {"run", "-o", red + "/report", "--", "true"},
                                                    {"report", "x", "--suppressions", red},
                                                    {"doctor", "--probes", red}}) {
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("\uFFFD[31mred\uFFFD"));
    EXPECT_EQ(outcome.err.find_first_of("\x1b\a"), std::string::npos) << outcome.err;
  }
}

TEST_F(Refuses, AnOutputThatCannotBeWrittenBeforeItTraces) {
  const std::string path = dir_.file("missing/report.json");
  const Outcome run = run_leaktrace({"run", "-o", path, "--", "echo", "was run"});
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.err, HasSubstr(path));
  EXPECT_THAT(run.out, Not(HasSubstr("was run")));

  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const auto begin = std::chrono::steady_clock::now();
  const Outcome attached =
      run_leaktrace({"attach", "-p", std::to_string(target.pid()), "--duration", "20", "-o", path});
  EXPECT_EQ(attached.status, 1);
  EXPECT_LT(Seconds(std::chrono::steady_clock::now() - begin).count(), 10);
}

TEST_F(Refuses, ARecordingThatIsNone) {
  write_whole(dir_.file("text"), "this is no recording\n");
  for (const std::string& path : {dir_.file("text"), dir_.file("missing"), dir_.path()}) {
    const Outcome outcome = run_leaktrace({"report", path});
    EXPECT_EQ(outcome.status, 1) << path;
    EXPECT_THAT(outcome.err, HasSubstr(path));
  }
}

class Capabilities : public RuntimeTest {
 protected:
  static constexpr const char* kNobody = "65534";

  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    // The build folder may be closed to other users.
    program_ = dir_.file("leaktrace");
    std::filesystem::copy_file(leaktrace_path(), program_);
    target_program_ = dir_.file("steady_leak");
    std::filesystem::copy_file(testprog("steady_leak"), target_program_);
  }

  /// leaktrace as another user, with these capabilities and no others.
  Outcome attach_with(const std::vector<std::string>& names, pid_t pid) {
    std::string set = "-all";
    for (const std::string& name : names) set += ",+" + name;
    return run_command({"setpriv",           "--reuid",    kNobody,  "--regid",        kNobody,
                        "--clear-groups",    "--inh-caps", set,      "--ambient-caps", set,
                        "--bounding-set",    set,          program_, "attach",         "-p",
                        std::to_string(pid), "--duration", "2",      "--sample-bytes", "exact"});
  }

  std::string program_;
  std::string target_program_;
};

TEST_F(Capabilities, ThatAreMissingAreNamed) {
  Process target(
      {"setpriv", "--reuid", kNobody, "--regid", kNobody, "--clear-groups", target_program_});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = attach_with({}, target.pid());
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, AnyOf(HasSubstr("CAP_BPF"), HasSubstr("cap_bpf")));
  EXPECT_THAT(outcome.err, HasSubstr("setcap"));
  EXPECT_THAT(outcome.err, HasSubstr("chmod 750")) << "not for everybody";
}

TEST_F(Capabilities, OneThatIsMissingIsNamedAlone) {
  Process target(
      {"setpriv", "--reuid", kNobody, "--regid", kNobody, "--clear-groups", target_program_});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = attach_with({"bpf", "sys_ptrace"}, target.pid());
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, AnyOf(HasSubstr("CAP_PERFMON"), HasSubstr("cap_perfmon")));
}

TEST_F(Capabilities, TheLeastAreEnough) {
  Process target({target_program_});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome =
      attach_with({"bpf", "perfmon", "sys_ptrace", "dac_read_search"}, target.pid());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("leak_tick"));
}

class Bounds : public RuntimeTest {};

TEST_F(Bounds, AFullLiveTableIsCountedAndTheTotalsHold) {
  const TracedRun traced = run_traced({testprog("many_blocks"), "20000"}, {"--max-live", "1000"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  const std::uint64_t lost = report.loss("live_table_full");
  const Amount held = report.outstanding("hold_block");
  const Amount acquired = report.acquired("hold_block");
  EXPECT_GT(held.count, 0U);
  EXPECT_LE(held.count, 1000U);
  EXPECT_EQ(held.bytes, held.count * 32);
  EXPECT_EQ(acquired.bytes, acquired.count * 32);
  // Each call is either stored or lost. The program's start may add a few of its own.
  EXPECT_GE(acquired.count + lost, 20000U);
  EXPECT_LE(acquired.count + lost, 20100U);
}

TEST_F(Bounds, AFullStackTableIsCountedAndTheBytesHold) {
  const TracedRun traced = run_traced({testprog("many_stacks"), "1000"}, {"--max-stacks", "64"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_GT(report.loss("stack_table_full"), 0U);
  EXPECT_LT(report.sites_with("leak_at_bottom"), 65U);
  EXPECT_GE(report.outstanding_at_all().count, 1000U);
  EXPECT_GE(report.outstanding_at_all().bytes, 72000U);
}

TEST_F(Bounds, AFullSiteTableIsCounted) {
  const TracedRun traced = run_traced({testprog("many_stacks"), "1000"}, {"--max-sites", "64"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_GT(report.loss("site_table_full"), 0U);
  EXPECT_LE(report.outstanding("leak_at_bottom").count, 64U);
  EXPECT_EQ(report.outstanding("leak_at_bottom").bytes,
            report.outstanding("leak_at_bottom").count * 72);
}

/// A disk that is full while recording: it is said, the command goes on, and what was written is
/// readable.
TEST_F(Bounds, AFullDiskLeavesAReadableRecording) {
  const std::string disk = dir_.file("disk");
  const std::string copy = dir_.file("copy.recording");
  const std::string script = "mkdir " + disk + " && mount -t tmpfs -o size=64k none " + disk +
                             " && " + leaktrace_path() + " record --interval 0.1 -o " + disk +
                             "/recording -- " + testprog("many_stacks") +
                             " 30000; echo status $?; cp " + disk + "/recording " + copy;
  const Outcome outcome = run_command({"unshare", "--mount", "sh", "-c", script});
  if (outcome.out.find("status") == std::string::npos) {
    GTEST_SKIP() << "no mount namespaces here: " << outcome.err;
  }
  EXPECT_THAT(outcome.out, HasSubstr("leaked leak_at_bottom")) << "the command was not let finish";
  EXPECT_THAT(outcome.err, AnyOf(HasSubstr("No space left"), HasSubstr("full")));
  const Outcome report = run_leaktrace({"report", copy, "--format", "json"});
  EXPECT_EQ(report.status, 0) << report.err;
  EXPECT_EQ(Report(report.out).json().at("cut_off"), true);
}

}  // namespace
}  // namespace leaktrace::runtime
