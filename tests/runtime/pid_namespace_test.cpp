// SPDX-License-Identifier: Apache-2.0
//
// leaktrace in a pid namespace of its own, as in a container: are ids its own ones everywhere, and
// does it say so where it cannot know them?
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using Command = std::vector<std::string>;

Command joined(Command first, const Command& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The command in a pid namespace of its own, `levels` below ours, as its process 1.
Command in_namespace(Command command, int levels = 1) {
  for (; levels > 0; --levels) {
    command = joined({"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}, command);
  }
  return command;
}

Outcome leaktrace_in_namespace(const Command& arguments, int levels = 1) {
  return run_command(in_namespace(leaktrace_command(arguments), levels), {}, Seconds(120));
}

pid_t only_child(pid_t pid) {
  const std::string task = std::to_string(pid);
  std::istringstream children(read_whole("/proc/" + task + "/task/" + task + "/children"));
  pid_t child = 0;
  children >> child;
  return child;
}

/// A shell as process 1 of a pid namespace, which outlives a program of testprogs that waits there.
class Container {
 public:
  explicit Container(const std::string& program, int levels = 1, const std::string& before = {})
      : outer_(in_namespace(
            {"sh", "-c", before + testprog(program) + " --wait --linger & sleep 300"}, levels)) {
    const auto ready = outer_.wait_for_line("ready");
    if (!ready) throw std::runtime_error("no namespace: " + outer_.err());
    target_ = std::stoi(*ready);
    init_ = outer_.pid();
    for (int level = 0; level < levels; ++level) init_ = only_child(init_);
  }

  /// The program's pid in there.
  [[nodiscard]] pid_t target() const { return target_; }
  [[nodiscard]] std::string out() const { return outer_.out(); }
  /// What runs a command in there, as `docker exec` does.
  [[nodiscard]] Command enter() const {
    return {"nsenter", "--pid", "--mount", "--target", std::to_string(init_)};
  }
  void signal(int number) const {
    const auto sent = run_command(
        joined(enter(), {"kill", "-s", std::to_string(number), std::to_string(target_)}));
    if (sent.status != 0) throw std::runtime_error("no signal sent: " + sent.err);
  }
  /// Lets the program do what it does.
  void play() {
    signal(SIGUSR1);
    if (!outer_.wait_for_line("done")) throw std::runtime_error("the program has not ended");
  }

 private:
  Process outer_;
  pid_t init_ = 0;
  pid_t target_ = 0;
};

void expect_said(const Report& report, const std::string& out) {
  const auto said = leaks_said(out);
  EXPECT_THAT(said, Not(IsEmpty()));
  for (const auto& [function, amount] : said) {
    EXPECT_EQ(report.outstanding(function), amount) << function;
  }
}

class PidNamespace : public RuntimeTest {
 protected:
  /// `leaktrace run` in there, exact, with a JSON report.
  Report run(const Command& command, const Command& options = {}, int levels = 1) {
    const std::string file = dir_.file("report.json");
    outcome_ = leaktrace_in_namespace(
        joined(joined(joined({"run"}, options),
                      {"--top", "100000", "--format", "json", "-o", file, "--"}),
               command),
        levels);
    return Report(read_whole(file));
  }

  Outcome outcome_;
};

struct Place {
  int levels;
  const char* mode;
};

class PidNamespaceDepth : public PidNamespace, public testing::WithParamInterface<Place> {};

TEST_P(PidNamespaceDepth, RunSeesItsCommand) {
  const Report report =
      run({testprog("namespace_leak")}, {"--probe-mode", GetParam().mode}, GetParam().levels);
  EXPECT_EQ(outcome_.status, 0) << outcome_.err;
  expect_said(report, outcome_.out);
  EXPECT_EQ(report.json().at("target").at(0).at("comm"), "namespace_leak");
  EXPECT_LT(report.json().at("target").at(0).at("pid"), 100) << "the number in the namespace";
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_P(PidNamespaceDepth, AttachSeesAProcessByItsNumberInThere) {
  Container container("namespace_leak", GetParam().levels);
  Attached attached({container.target()}, exactly({"--probe-mode", GetParam().mode}),
                    container.enter());
  container.play();
  container.signal(SIGTERM);
  const Report report = attached.wait();
  EXPECT_EQ(report.outstanding("leak_in_namespace", "heap", container.target()),
            (Amount{450, 450 * 333}));
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Each, PidNamespaceDepth,
                         testing::Values(Place{1, "auto"}, Place{2, "auto"}, Place{1, "single"},
                                         Place{2, "multi"}),
                         [](const auto& each) {
                           return std::string(each.param.mode) + std::to_string(each.param.levels);
                         });

TEST_F(PidNamespace, RunFollowsForksAndExecs) {
  const std::string script = testprog("leak_in_child") + "; " + testprog("exec_chain") + "; exit 5";
  const Report report = run({"sh", "-c", script}, {"--follow"});
  EXPECT_EQ(outcome_.status, 5) << outcome_.err;
  EXPECT_EQ(leaks_said(outcome_.out).size(), 4U);
  expect_said(report, outcome_.out);
  auto losses = harmful_losses(report);
  losses.erase("stack_truncated");  // the first ones after an exec may be, here as elsewhere
  EXPECT_THAT(losses, IsEmpty());
}

TEST_F(PidNamespace, AttachFollowsForks) {
  Container container("leak_in_child");
  Attached attached({container.target()}, exactly({"--follow"}), container.enter());
  container.play();
  container.signal(SIGTERM);
  expect_said(attached.wait(), container.out());
}

TEST_F(PidNamespace, AStrangerWithTheSameNumberIsLeftOut) {
  // Of two programs that are process 2 of their namespaces, and one that has this number out here.
  Process outside({testprog("namespace_leak"), "--wait", "--linger", "1000"});
  const auto number = outside.wait_for_line("ready");
  ASSERT_TRUE(number);
  const std::string next_pid =
      "echo " + std::to_string(std::stoi(*number) - 1) + " > /proc/sys/kernel/ns_last_pid; ";
  Container traced("namespace_leak", 1, next_pid);
  Container beside("namespace_leak", 1, next_pid);
  ASSERT_EQ(traced.target(), outside.pid());
  ASSERT_EQ(beside.target(), outside.pid());
  Attached attached({traced.target()}, exactly({"--follow"}), traced.enter());
  outside.signal(SIGUSR1);
  ASSERT_TRUE(outside.wait_for_line("done"));
  beside.play();
  traced.play();
  traced.signal(SIGTERM);
  const Report report = attached.wait();
  EXPECT_EQ(report.outstanding("leak_in_namespace"), (Amount{450, 450 * 333}));
}

TEST_F(PidNamespace, FailOnFindsALeak) {
  // A rise counts when it has been watched for half a minute.
  run({testprog("steady_leak"), "7000"}, {"--fail-on", "growing:1K/s"});
  EXPECT_EQ(outcome_.status, 3) << outcome_.err;
  EXPECT_THAT(outcome_.err, HasSubstr("leak_tick"));
}

TEST_F(PidNamespace, ARecordingSaysTheSame) {
  const std::string file = dir_.file("recording");
  const Outcome recorded =
      leaktrace_in_namespace({"record", "-o", file, "--", testprog("namespace_leak")});
  EXPECT_EQ(recorded.status, 0) << recorded.err;
  const Report report(run_leaktrace({"report", "--format", "json", file}).out);
  expect_said(report, recorded.out);
}

TEST_F(PidNamespace, ACommandInANamespaceBelowIsFollowedIntoIt) {
  const Command below = in_namespace({testprog("namespace_leak")});
  const TracedRun traced = run_traced(below, {"--follow"});
  EXPECT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_said(traced.report(), traced.outcome.out);
  expect_said(run(below, {"--follow"}), outcome_.out);
}

TEST_F(PidNamespace, DoctorSaysThatItCanTrace) {
  const Outcome outcome = leaktrace_in_namespace({"doctor", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.out;
  std::map<std::string, std::string> states;
  const auto said = nlohmann::json::parse(outcome.out);
  for (const auto& finding : said.at("findings")) {
    states[finding.at("id")] = finding.at("state");
  }
  EXPECT_EQ(states["process_ids"], "yes");
  EXPECT_EQ(states["initial_pid_namespace"], "no");
}

/// A place where ids cannot be known, and what is said of it.
struct Blind {
  const char* name;
  Command enter;
  const char* why;
};

class PidNamespaceUnknown : public RuntimeTest, public testing::WithParamInterface<Blind> {
 protected:
  static void expect_refused(const Command& arguments) {
    const Outcome outcome = run_command(joined(GetParam().enter, leaktrace_command(arguments)));
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(GetParam().why));
    EXPECT_THAT(outcome.err, HasSubstr("--mount-proc"));
    EXPECT_THAT(outcome.out, Not(HasSubstr("was run")));
  }
};

TEST_P(PidNamespaceUnknown, IsRefusedWithTheReason) {
  expect_refused({"run", "--", "echo", "was run"});
  expect_refused({"record", "-o", dir_.file("recording"), "--", "echo", "was run"});
  expect_refused({"attach", "-p", "1", "--duration", "1"});
  EXPECT_FALSE(std::filesystem::exists(dir_.file("recording.tmp")));
}

TEST_P(PidNamespaceUnknown, IsSaidByDoctor) {
  const Outcome outcome = run_command(joined(GetParam().enter, leaktrace_command({"doctor"})));
  EXPECT_EQ(outcome.status, 1) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("leaktrace cannot trace here: process ids cannot be told"));
  EXPECT_THAT(outcome.out, HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(Each, PidNamespaceUnknown,
                         testing::Values(Blind{"ProcOfTheParent",
                                               {"unshare", "--pid", "--fork", "--kill-child"},
                                               "/proc is of another pid namespace"},
                                         Blind{"ChildrenElsewhere",
                                               {"unshare", "--pid"},
                                               "born into another pid namespace"}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace leaktrace::runtime
