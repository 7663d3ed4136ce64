// SPDX-License-Identifier: Apache-2.0
//
// Programs that begin under leaktrace: they have what they would have had without it, and whatever
// becomes of leaktrace in the meantime, they go on.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <sstream>
#include <thread>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;

class Starts : public RuntimeTest {
 protected:
  [[nodiscard]] std::vector<std::string> run(const std::vector<std::string>& options,
                                             const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {"run", "-o", dir_.file("report")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), command.begin(), command.end());
    return leaktrace_command(arguments);
  }
};

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string id = std::to_string(pid);
  std::istringstream ids(read_whole("/proc/" + id + "/task/" + id + "/children"));
  for (pid_t child = 0; ids >> child;) children.push_back(child);
  return children;
}

/// The child of a process that runs the program of this name; 0: none yet.
pid_t child_with_name(pid_t parent, const std::string& name) {
  for (const pid_t child : children_of(parent)) {
    if (read_whole("/proc/" + std::to_string(child) + "/comm") == name + "\n") return child;
  }
  return 0;
}

/// Asked without pausing for long: what is waited for is over within milliseconds.
bool wait_closely(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

/// What became of a command whose leaktrace was killed.
enum class Fate { ended_well, ended_otherwise, left_behind, never_started };

/// A command that a shell runs to its end, `program` its only child, with status 7.
constexpr const char* kScript = "sleep 0.2; exit 7";

/// Orphans of the test become its children, so that their end is seen.
class AdoptsOrphans {
 public:
  AdoptsOrphans() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~AdoptsOrphans() { prctl(PR_SET_CHILD_SUBREAPER, 0); }
  AdoptsOrphans(const AdoptsOrphans&) = delete;
  AdoptsOrphans& operator=(const AdoptsOrphans&) = delete;
};

Fate fate_of(pid_t orphan) {
  int status = 0;
  const bool ended =
      wait_until([&] { return waitpid(orphan, &status, WNOHANG) == orphan; }, Seconds(20));
  if (!ended) {
    kill(orphan, SIGKILL);
    waitpid(orphan, nullptr, 0);
    return Fate::left_behind;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? Fate::ended_well : Fate::ended_otherwise;
}

/// Kills leaktrace `delay` after the command (or, `in_child`, the program that it runs) was
/// executed.
Fate kill_leaktrace(const std::vector<std::string>& command, bool in_child,
                    std::chrono::microseconds delay) {
  Process leaktrace(command);
  pid_t shell = 0;
  const auto begun = [&] {
    shell = shell != 0 ? shell : child_with_name(leaktrace.pid(), "sh");
    return shell != 0 && (!in_child || child_with_name(shell, "sleep") != 0);
  };
  if (!wait_closely(begun)) return Fate::never_started;
  std::this_thread::sleep_for(delay);
  leaktrace.signal(SIGKILL);
  const Fate fate = fate_of(shell);
  leaktrace.wait(Seconds(20));
  return fate;
}

/// Of so many tries, at moments that lie ever later, how many ended well.
int count_good(const std::vector<std::string>& command, bool in_child, int tries,
               std::chrono::microseconds step) {
  const AdoptsOrphans adopts;
  std::atomic<int> next = 0;
  std::atomic<int> good = 0;
  const auto work = [&] {
    for (int i = next++; i < tries; i = next++) {
      if (kill_leaktrace(command, in_child, i * step) == Fate::ended_well) ++good;
    }
  };
  const auto other = std::async(std::launch::async, work);
  work();
  other.wait();
  return good;
}

TEST_F(Starts, ACommandGoesOnWhenLeaktraceIsKilled) {
  constexpr int kTries = 20;
  EXPECT_EQ(
      count_good(run({}, {"sh", "-c", kScript}), false, kTries, std::chrono::microseconds(800)),
      kTries);
}

TEST_F(Starts, AFollowedChildGoesOnWhenLeaktraceIsKilled) {
  constexpr int kTries = 12;
  EXPECT_EQ(count_good(run({"--follow"}, {"sh", "-c", kScript}), true, kTries,
                       std::chrono::microseconds(200)),
            kTries);
}

/// Signals that are blocked and ignored, capabilities, limits.
TEST_F(Starts, ACommandHasWhatItWouldHaveHad) {
  const std::vector<std::string> shows = {
      "grep", "-E", "^(Sig(Blk|Ign)|Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Max )",
      "/proc/self/status", "/proc/self/limits"};
  std::vector<std::string> plain = {testprog("odd_state")};
  std::vector<std::string> traced = plain;
  plain.insert(plain.end(), shows.begin(), shows.end());
  const auto under_leaktrace = run({}, shows);
  traced.insert(traced.end(), under_leaktrace.begin(), under_leaktrace.end());

  const Outcome expected = run_command(plain);
  ASSERT_EQ(expected.status, 0) << expected.err;
  EXPECT_THAT(expected.out, HasSubstr("SigBlk:\t0000000000002200"));
  const Outcome outcome = run_command(traced, {}, Seconds(30));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, expected.out);
}

TEST_F(Starts, AProgramThatIsKilledAtItsExecIsNotWaitedFor) {
  const Outcome outcome =
      run_command(run({"--follow"}, {testprog("kill_at_exec"), "60", "1"}), {}, Seconds(30));
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

/// A parent that waits for stops, as shells with job control, su and sudo do, sees none.
TEST_F(Starts, NobodySeesThatAChildIsHeld) {
  const Outcome outcome =
      run_command(run({"--follow"}, {testprog("kill_at_exec"), "60", "0"}), {}, Seconds(60));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "stops 0\n");
}

TEST_F(Starts, ShellsWithJobControlAndSuGoOn) {
  const std::string script = "sleep 0.1 & wait; /bin/echo one; /bin/echo two; exit 3";
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{}, std::vector<std::string>{"--follow"}}) {
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"bash", "-mc", script}, {"su", "-s", "/bin/sh", "-c", script}}) {
      const Outcome outcome = run_command(run(options, command), {}, Seconds(30));
      EXPECT_EQ(outcome.status, 3) << command[0] << outcome.err;
      EXPECT_EQ(outcome.out, "one\ntwo\n") << command[0];
    }
  }
}

/// A program that changes its user by its file's mode gets it, though it is held at its exec.
TEST_F(Starts, ASetuidProgramChangesItsUser) {
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  const std::string id = dir_.file("id");
  std::filesystem::copy_file("/usr/bin/id", id);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(chown(id.c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(chmod(id.c_str(), 04755), 0);
  const Outcome plain = run_command({id, "-u"});
  const Outcome outcome = run_command(run({}, {id, "-u"}), {}, Seconds(30));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, plain.out);
}

TEST_F(Starts, ACommandThatIsStoppedAndContinuedWhileItStartsGoesOn) {
  Process leaktrace(run({}, {"sh", "-c", kScript}));
  pid_t shell = 0;
  ASSERT_TRUE(wait_closely([&] { return (shell = child_with_name(leaktrace.pid(), "sh")) != 0; }));
  kill(shell, SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  kill(shell, SIGCONT);
  EXPECT_EQ(leaktrace.wait(Seconds(30)).status, 7);
}

TEST_F(Starts, ACommandIsNotWatchedForLong) {
  Process leaktrace(run({}, {"sleep", "100"}));
  pid_t command = 0;
  ASSERT_TRUE(
      wait_closely([&] { return (command = child_with_name(leaktrace.pid(), "sleep")) != 0; }));
  const std::string status = "/proc/" + std::to_string(command) + "/status";
  EXPECT_TRUE(
      wait_until([&] { return read_whole(status).find("TracerPid:\t0\n") != std::string::npos; },
                 Seconds(20)));
  kill(command, SIGTERM);
  EXPECT_EQ(leaktrace.wait(Seconds(30)).status, 128 + SIGTERM);
}

/// With one processor a child cannot be held in time: that is said, and nothing waits for it.
TEST_F(Starts, WhatCannotBeHeldInTimeIsSaid) {
  std::vector<std::string> command = {"taskset", "-c", "0"};
  const auto traced = run({"--follow"}, {testprog("kill_at_exec"), "10", "0"});
  command.insert(command.end(), traced.begin(), traced.end());
  const Outcome outcome = run_command(command, {}, Seconds(60));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "stops 0\n");
  EXPECT_THAT(outcome.err, HasSubstr("the beginning of programs that were executed is not seen"));
}

}  // namespace
}  // namespace leaktrace::runtime
