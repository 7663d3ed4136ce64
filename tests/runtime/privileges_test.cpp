// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace may still do while it traces: no more than tracing takes, in each of its threads
// and processes, while the command that it runs has all that it would have had without it.
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kNobody = "65534";
constexpr uid_t kNobodyId = 65534;

constexpr std::uint64_t bit(int capability) {
  return std::uint64_t{1} << capability;
}

/// What tracing needs, as the README has it.
constexpr std::uint64_t kTracing = bit(CAP_BPF) | bit(CAP_PERFMON) | bit(CAP_SYS_PTRACE) |
                                   bit(CAP_DAC_READ_SEARCH) | bit(CAP_CHECKPOINT_RESTORE);

/// What /proc/PID/status says of privileges.
const std::vector<std::string> kFields = {"CapInh", "CapPrm",  "CapEff",    "CapBnd",
                                          "CapAmb", "Seccomp", "NoNewPrivs"};
using Privileges = std::map<std::string, std::uint64_t>;

Privileges privileges_in(const std::string& folder) {
  Privileges found;
  std::istringstream lines(read_whole(folder + "/status"));
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find(':'));
    if (std::ranges::find(kFields, name) == kFields.end()) continue;
    found[name] = std::stoull(line.substr(name.size() + 1), nullptr, 16);
  }
  return found;
}

/// What a budget takes besides: the priority of those that may not raise the limit on it.
std::uint64_t of_a_budget() {
  const bool may_raise = (privileges_in("/proc/self").at("CapEff") & bit(CAP_SYS_RESOURCE)) != 0;
  return may_raise ? 0 : bit(CAP_SYS_NICE);
}

Privileges confined_to(std::uint64_t capabilities) {
  return {{"CapInh", 0}, {"CapPrm", capabilities}, {"CapEff", capabilities}, {"CapBnd", 0},
          {"CapAmb", 0}, {"Seccomp", 2},           {"NoNewPrivs", 1}};
}

/// Of each thread of a process.
std::vector<Privileges> privileges_of(pid_t pid) {
  std::vector<Privileges> all;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    if (auto found = privileges_in(task.path()); found.size() == kFields.size()) {
      all.push_back(std::move(found));
    }
  }
  return all;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string id = std::to_string(pid);
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + id + "/task", error)) {
    std::istringstream ids(read_whole(task.path() / "children"));
    for (pid_t child = 0; ids >> child;) children.push_back(child);
  }
  return children;
}

/// leaktrace and the processes that it made for itself: they run its own file.
std::vector<pid_t> processes_of(pid_t leaktrace) {
  std::error_code error;
  const auto program =
      std::filesystem::read_symlink("/proc/" + std::to_string(leaktrace) + "/exe", error);
  std::vector<pid_t> all = {leaktrace};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const pid_t child : children_of(all[i])) {
      const auto exe =
          std::filesystem::read_symlink("/proc/" + std::to_string(child) + "/exe", error);
      if (exe == program) all.push_back(child);
    }
  }
  return all;
}

class PrivilegesTest : public RuntimeTest {
 protected:
  /// The process that traces has `expected`, all its threads alike; no other of its processes has
  /// a capability that is not among them.
  static void expect_confined(pid_t leaktrace, std::uint64_t expected) {
    const auto processes = processes_of(leaktrace);
    for (const pid_t pid : processes) {
      const auto threads = privileges_of(pid);
      EXPECT_THAT(threads, Not(IsEmpty()));
      for (const Privileges& thread : threads) {
        const std::uint64_t held = thread.at("CapPrm");
        EXPECT_EQ(held & ~expected, 0U) << "process " << pid;
        EXPECT_EQ(thread, confined_to(pid == leaktrace ? expected : held)) << "process " << pid;
      }
    }
  }

  /// What a child of this test has.
  static Privileges unconfined() {
    Process sleeper({"sleep", "100"});
    EXPECT_TRUE(wait_until([&] { return !privileges_of(sleeper.pid()).empty(); }, Seconds(5)));
    return privileges_of(sleeper.pid()).front();
  }

  /// It has started and waits for something: nothing holds it up any more.
  static bool is_waiting(pid_t pid) {
    const std::string place = read_whole("/proc/" + std::to_string(pid) + "/wchan");
    return place.find("nanosleep") != std::string::npos;
  }

  /// The child of `leaktrace run` that runs the program `comm`; 0 when it never came.
  static pid_t wait_for_command(pid_t leaktrace, const std::string& comm) {
    pid_t command = 0;
    wait_until(
        [&] {
          for (const pid_t child : children_of(leaktrace)) {
            const std::string id = std::to_string(child);
            if (read_whole("/proc/" + id + "/comm") == comm + "\n") command = child;
          }
          return command != 0;
        },
        Seconds(30));
    return command;
  }
};

TEST_F(PrivilegesTest, AttachKeepsWhatTracingTakes) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, {"--budget", "off"});
  expect_confined(attached.process().pid(), kTracing);
  (void)attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
}

TEST_F(PrivilegesTest, AttachWithABudgetTakesItsPriorityAllTheSame) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, {"--budget", "5", "--follow"});
  expect_confined(attached.process().pid(), kTracing | bit(CAP_KILL) | of_a_budget());
  const std::string err = attached.process().err();
  EXPECT_EQ(err.find("cannot run before others"), std::string::npos);
  (void)attached.stop();
}

TEST_F(PrivilegesTest, SingleProbesKeepTheAdministratorOnlyWhereTheKernelWantsIt) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--probe-mode", "single"}));
  const auto threads = privileges_of(attached.process().pid());
  ASSERT_THAT(threads, Not(IsEmpty()));
  const std::uint64_t admin = threads.front().at("CapPrm") & bit(CAP_SYS_ADMIN);
  expect_confined(attached.process().pid(), kTracing | admin);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // for some blocks
  const Report report = attached.stop();
  EXPECT_GT(report.outstanding("leak_tick").count, 0U) << attached.outcome().err;
}

TEST_F(PrivilegesTest, RunLeavesTheCommandAsItWouldBeWithoutIt) {
  const Privileges plain = unconfined();
  Process leaktrace(
      leaktrace_command({"run", "-o", dir_.file("report"), "--", testprog("steady_leak")}));
  ASSERT_TRUE(leaktrace.wait_for_line("running"));
  const pid_t command = wait_for_command(leaktrace.pid(), "steady_leak");
  ASSERT_NE(command, 0);
  expect_confined(leaktrace.pid(), kTracing | bit(CAP_KILL));
  for (const Privileges& thread : privileges_of(command)) EXPECT_EQ(thread, plain);
  leaktrace.signal(SIGTERM);
  leaktrace.wait();
}

TEST_F(PrivilegesTest, RunPassesSignalsToACommandOfAnotherUser) {
  Process leaktrace(
      leaktrace_command({"run", "-o", dir_.file("report"), "--", "setpriv", "--reuid", kNobody,
                         "--regid", kNobody, "--clear-groups", "sleep", "100"}));
  ASSERT_NE(wait_for_command(leaktrace.pid(), "sleep"), 0) << leaktrace.err();
  leaktrace.signal(SIGTERM);
  EXPECT_EQ(leaktrace.wait(Seconds(20)).status, 128 + SIGTERM);
}

TEST_F(PrivilegesTest, FollowedChildrenKeepTheirs) {
  const Privileges plain = unconfined();
  Process leaktrace(leaktrace_command(
      {"run", "--follow", "-o", dir_.file("report"), "--", "sh", "-c", "sleep 100; true"}));
  const pid_t shell = wait_for_command(leaktrace.pid(), "sh");
  ASSERT_NE(shell, 0);
  const pid_t child = wait_for_command(shell, "sleep");
  ASSERT_NE(child, 0);
  expect_confined(leaktrace.pid(), kTracing | bit(CAP_KILL));
  for (const Privileges& thread : privileges_of(child)) EXPECT_EQ(thread, plain);
  ASSERT_TRUE(wait_until([&] { return is_waiting(child); }, Seconds(20)));
  kill(child, SIGKILL);
  EXPECT_EQ(leaktrace.wait(Seconds(20)).status, 0);
}

TEST_F(PrivilegesTest, RecordKeepsWhatTracingTakes) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Process leaktrace(leaktrace_command({"--verbose", "record", "-o", dir_.file("recording"), "-p",
                                       std::to_string(target.pid()), "--sample-bytes", "exact",
                                       "--budget", "off"}));
  const auto attached = [&] {
    return leaktrace.err().find("debug: attached to") != std::string::npos;
  };
  ASSERT_TRUE(wait_until(attached, Seconds(30)));
  expect_confined(leaktrace.pid(), kTracing);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // for some blocks
  leaktrace.signal(SIGINT);
  EXPECT_EQ(leaktrace.wait().status, 0);
  const Outcome report = run_leaktrace({"report", dir_.file("recording")});
  EXPECT_THAT(report.out, HasSubstr("leak_tick"));
}

/// A folder of another user, to which only a capability lets root write.
class OutputOfAnotherUser : public PrivilegesTest {
 protected:
  void SetUp() override {
    PrivilegesTest::SetUp();
    if (IsSkipped()) return;
    folder_ = dir_.file("theirs");
    std::filesystem::create_directory(folder_);
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
    ASSERT_EQ(chown(folder_.c_str(), kNobodyId, kNobodyId), 0);
  }
  std::string folder_;
};

TEST_F(OutputOfAnotherUser, IsWrittenWithTheOneCapabilityThatThisTakes) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const std::string output = folder_ + "/report";
  Process leaktrace(leaktrace_command({"--verbose", "attach", "-p", std::to_string(target.pid()),
                                       "-o", output, "--each-interval", "--interval", "0.2",
                                       "--sample-bytes", "exact", "--budget", "off"}));
  const auto written = [&] { return read_whole(output).find("leak_tick") != std::string::npos; };
  ASSERT_TRUE(wait_until(written, Seconds(30)));
  expect_confined(leaktrace.pid(), kTracing | bit(CAP_DAC_OVERRIDE));
  leaktrace.signal(SIGINT);
  EXPECT_EQ(leaktrace.wait().status, 0);
  EXPECT_THAT(read_whole(output), HasSubstr("leak_tick"));
}

TEST_F(OutputOfAnotherUser, TakesARecordingAndItsReport) {
  const std::string recording = folder_ + "/recording";
  const Outcome recorded = run_leaktrace(
      {"record", "-o", recording, "--", testprog("cat_and_leak")}, {.input = "text\n"});
  ASSERT_EQ(recorded.status, 0) << recorded.err;
  const std::string output = folder_ + "/report";
  const Outcome reported = run_leaktrace({"report", recording, "-o", output});
  EXPECT_EQ(reported.status, 0) << reported.err;
  EXPECT_THAT(read_whole(output), HasSubstr("leak_chunk"));
}

/// leaktrace as a user with the capabilities that setcap gives it.
class GrantedPrivileges : public PrivilegesTest {
 protected:
  void SetUp() override {
    PrivilegesTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
    program_ = dir_.file("leaktrace");
    std::filesystem::copy_file(leaktrace_path(), program_);
    const Outcome granted = run_command(
        {"setcap",
         "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,cap_checkpoint_restore+ep",
         program_});
    ASSERT_EQ(granted.status, 0) << granted.err;
  }
  static std::vector<std::string> as_nobody(std::vector<std::string> command) {
    std::vector<std::string> all = {"setpriv", "--reuid", kNobody,
                                    "--regid", kNobody,   "--clear-groups"};
    all.insert(all.end(), command.begin(), command.end());
    return all;
  }
  std::string program_;
};

TEST_F(GrantedPrivileges, SufficeAndAreNotUsedByOthers) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Process leaktrace(as_nobody({program_, "--verbose", "attach", "-p", std::to_string(target.pid()),
                               "--duration", "3", "--sample-bytes", "exact", "--budget", "off"}));
  ASSERT_TRUE(wait_until(
      [&] { return leaktrace.err().find("debug: attached to") != std::string::npos; }, Seconds(30)))
      << leaktrace.err();
  for (const Privileges& thread : privileges_of(leaktrace.pid())) {
    EXPECT_EQ(thread.at("CapPrm"), kTracing);
    EXPECT_EQ(thread.at("CapEff"), kTracing);
    EXPECT_EQ(thread.at("CapInh") | thread.at("CapAmb"), 0U);
    EXPECT_EQ(thread.at("Seccomp"), 2U);
    EXPECT_EQ(thread.at("NoNewPrivs"), 1U);
  }
  const Outcome peek =
      run_command(as_nobody({"cat", "/proc/" + std::to_string(leaktrace.pid()) + "/environ"}));
  EXPECT_NE(peek.status, 0) << "another program of the user reads its memory";
  const Outcome outcome = leaktrace.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("leak_tick"));
}

TEST_F(GrantedPrivileges, AreNotTheCommands) {
  Process leaktrace(as_nobody({program_, "run", "-o", "/dev/null", "--", "sleep", "100"}));
  const pid_t command = wait_for_command(leaktrace.pid(), "sleep");
  ASSERT_NE(command, 0) << leaktrace.err();
  const auto threads = privileges_of(command);
  ASSERT_THAT(threads, Not(IsEmpty()));
  EXPECT_EQ(threads.front().at("CapEff") | threads.front().at("CapPrm"), 0U);
  EXPECT_EQ(threads.front().at("NoNewPrivs"), 0U);
  EXPECT_EQ(threads.front().at("Seccomp"), 0U);
  EXPECT_NE(threads.front().at("CapBnd"), 0U);
  leaktrace.signal(SIGTERM);
  EXPECT_EQ(leaktrace.wait(Seconds(20)).status, 128 + SIGTERM);
}

TEST_F(GrantedPrivileges, LetTheProgramReadWhatIsGivenToIt) {
  const std::string recording = dir_.file("recording");
  const Outcome recorded = run_leaktrace(
      {"record", "-o", recording, "--", testprog("cat_and_leak")}, {.input = "text\n"});
  ASSERT_EQ(recorded.status, 0) << recorded.err;
  ASSERT_EQ(chmod(recording.c_str(), 0644), 0);
  const Outcome reported = run_command(as_nobody({program_, "report", "/proc/self/fd/0"}),
                                       {.input = read_whole(recording)});
  EXPECT_THAT(reported.out, HasSubstr("leak_chunk")) << reported.err;
}

}  // namespace
}  // namespace leaktrace::runtime
