// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace cannot see it says, in every output; and of what it sees it does not say so.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <memory>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class NotSeen : public RuntimeTest {
 protected:
  /// The only thing that a report does not see.
  static nlohmann::json only(const Report& report) {
    const nlohmann::json& list = report.json().at("not_seen");
    EXPECT_EQ(list.size(), 1U) << list;
    return list.empty() ? nlohmann::json::object() : list.at(0);
  }

  static std::unique_ptr<Process> start(const std::vector<std::string>& command) {
    auto program = std::make_unique<Process>(command);
    EXPECT_TRUE(program->wait_for_line("running", Seconds(60)));
    return program;
  }
};

TEST_F(NotSeen, AnAllocatorWithAPrefixInAStaticProgramIsNamed) {
  const auto program = start({testprog("prefixed_allocator")});
  Attached attached({program->pid()}, {"--duration", "2"});
  const Report report = attached.wait();
  EXPECT_EQ(attached.outcome().status, 0);
  const nlohmann::json unseen = only(report);
  EXPECT_EQ(unseen.value("what", ""), "allocator");
  EXPECT_EQ(unseen.value("name", ""), testprog("prefixed_allocator"));
  EXPECT_THAT(unseen.value("why", ""), AllOf(HasSubstr("jemalloc"), HasSubstr("_rjem_malloc")));
  EXPECT_THAT(unseen.value("advice", ""), HasSubstr("without a prefix"));
  EXPECT_THAT(attached.outcome().err, HasSubstr("prefixed_allocator is not seen: it has jemalloc"));
}

TEST_F(NotSeen, IsInEveryOutputOfARecording) {
  const auto program = start({testprog("prefixed_allocator")});
  const std::string file = dir_.file("recording.lt");
  const Outcome recorded = run_leaktrace(
      {"record", "-o", file, "-p", std::to_string(program->pid()), "--duration", "2"});
  ASSERT_EQ(recorded.status, 0) << recorded.err;
  const auto report = [&](const std::string& format) {
    return run_leaktrace({"report", file, "--format", format});
  };
  const auto says = HasSubstr("prefixed_allocator is not seen");
  EXPECT_THAT(report("text").out, AllOf(says, HasSubstr("unseen")));
  EXPECT_THAT(report("svg").out, says);
  EXPECT_THAT(report("json").out, HasSubstr("\"not_seen\": [\n    {"));
  const Outcome folded = report("folded");
  EXPECT_THAT(folded.out, Not(says));
  EXPECT_THAT(folded.err, says);
}

TEST_F(NotSeen, AProgramThatGrowsBySystemCallsOfItsOwnFiresNoProbe) {
  const auto program = start({testprog("own_mappings")});
  Attached attached({program->pid()}, exactly({"--duration", "5"}));
  const Report report = attached.wait();
  const nlohmann::json unseen = only(report);
  EXPECT_EQ(unseen.value("what", ""), "process");
  EXPECT_EQ(unseen.value("name", ""), "own_mappings (" + std::to_string(program->pid()) + ")");
  EXPECT_THAT(unseen.value("why", ""),
              AllOf(HasSubstr("no probe fired in it"), HasSubstr("CPU time and grew by")));
}

TEST_F(NotSeen, IsNothingInOrdinaryPrograms) {
  const auto leaks = start({testprog("steady_leak")});
  const auto python = start({"/usr/bin/python3", "-c",
                             "import os, time\nprint('running', os.getpid(), flush=True)\nkept = []"
                             "\nwhile True:\n  kept.append(b'x' * 3000); time.sleep(0.0002)"});
  const auto node = start({"/usr/bin/node", "-e",
                           "console.log('running', process.pid); const kept = [];"
                           "setInterval(() => kept.push(Buffer.alloc(20000, 1)), 1)"});
  const Process idle({"/usr/bin/sleep", "60"});
  Attached attached({leaks->pid(), python->pid(), node->pid(), idle.pid()}, {"--duration", "5"});
  const Report report = attached.wait();
  EXPECT_THAT(report.json().at("not_seen"), IsEmpty());
  EXPECT_THAT(attached.outcome().err, Not(HasSubstr("not seen")));
}

/// Valgrind takes a probe for a breakpoint of the program, which then dies of SIGTRAP.
class UnderValgrind : public NotSeen, public testing::WithParamInterface<const char*> {
 protected:
  std::vector<std::string> command() {
    return {"/usr/bin/valgrind", std::string("--tool=") + GetParam(), "-q",
            testprog("steady_leak")};
  }
};

TEST_P(UnderValgrind, AProgramIsLeftAloneAndLeaktraceSaysWhy) {
  auto program = start(command());
  const Outcome outcome =
      run_leaktrace({"attach", "-p", std::to_string(program->pid()), "--duration", "1"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("is not seen"), HasSubstr("valgrind"), HasSubstr("try")));
  EXPECT_EQ(outcome.out, "");
  program->signal(SIGTERM);
  EXPECT_EQ(program->wait().status, 0);
}

TEST_P(UnderValgrind, AProgramThatIsStartedGoesOnUntraced) {
  std::vector<std::string> arguments = {"run", "--"};
  std::ranges::copy(command(), std::back_inserter(arguments));
  arguments.emplace_back("50");
  const Outcome outcome = run_leaktrace(arguments);
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("valgrind"), HasSubstr("goes on untraced")));
  EXPECT_THAT(outcome.err, Not(HasSubstr("SIGTRAP")));
  EXPECT_THAT(outcome.out, HasSubstr("running"));
}

TEST_P(UnderValgrind, AProgramIsLeftAloneByProbesInAllProcesses) {
  auto program = start(command());
  auto other = start({testprog("steady_leak")});
  const Outcome outcome =
      run_leaktrace({"attach", "--follow", "-p", std::to_string(other->pid()), "--duration", "2"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("its code is translated"));
  program->signal(SIGTERM);
  EXPECT_EQ(program->wait().status, 0);
}

TEST_P(UnderValgrind, AChildEndsATraceThatFollowsAndGoesOn) {
  std::string line;
  for (const std::string& word : command()) line += word + " ";
  const Outcome outcome =
      run_leaktrace({"run", "--follow", "--", "/bin/sh", "-c", line + "50; echo ended $?"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("running"), HasSubstr("ended 0")));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("valgrind"), HasSubstr("tracing ends here")));
}

INSTANTIATE_TEST_SUITE_P(Tools, UnderValgrind, testing::Values("none", "memcheck"));

}  // namespace
}  // namespace leaktrace::runtime
