// SPDX-License-Identifier: Apache-2.0
//
// Allocation functions that end, or are looked at, in another way than by returning: the program
// must not notice that it is traced, nor that another one is, and what is counted must be right.
#include <gmock/gmock.h>

#include <memory>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/waiting_program.h"

namespace leaktrace::runtime {
namespace {

using testing::IsEmpty;

/// A program of tests/testprogs/returns and the allocator that is preloaded into it.
struct Returning {
  std::string program;
  std::string preload{};
};

constexpr const char* kRounds = "200";

class Running : public WaitingProgram {
 public:
  explicit Running(const Returning& what)
      : WaitingProgram({testprog("returns/" + what.program), "--wait", "--linger", kRounds},
                       what.preload.empty()
                           ? std::vector<std::string>()
                           : std::vector<std::string>{"LD_PRELOAD=" + what.preload}) {}
};

std::string said_untraced(const Returning& what) {
  Running program(what);
  program.begin();
  program.await_end();
  return program.said();
}

std::vector<Returning> throwing_programs() {
  return {{"throwing_own_new"},
          {"throwing_new", "libjemalloc.so.2"},
          {"throwing_new", "libtcmalloc_minimal.so.4"}};
}

void expect_leaks(const Report& report, const std::string& said, int pid) {
  for (const auto& [function, amount] : leaks_said(said)) {
    EXPECT_EQ(report.outstanding(function, "heap", pid), amount) << function;
  }
}

class ReturnsTest : public RuntimeTest {};

TEST_F(ReturnsTest, ARefusedNewIsHandledWhenSampledByDefault) {
  for (const Returning& what : throwing_programs()) {
    SCOPED_TRACE(what.program + " " + what.preload);
    Running target(what);
    Attached leaktrace({target.pid()});
    target.begin();
    target.await_end();
    const Report report = leaktrace.stop();
    EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
    EXPECT_EQ(target.said(), said_untraced(what));
    // A refused call is no block, though each of them is large enough to be sampled.
    EXPECT_EQ(report.acquired("ask_too_much"), Amount());
    EXPECT_THAT(harmful_losses(report), IsEmpty());
  }
}

TEST_F(ReturnsTest, ARefusedNewIsHandledWhenEachIsCounted) {
  for (const Returning& what : throwing_programs()) {
    SCOPED_TRACE(what.program + " " + what.preload);
    Running target(what);
    Attached leaktrace({target.pid()}, exactly());
    target.begin();
    target.await_end();
    const Report report = leaktrace.stop();
    EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
    const std::string said = target.said();
    EXPECT_EQ(said, said_untraced(what));
    expect_leaks(report, said, 0);
    EXPECT_EQ(report.acquired("ask_too_much"), Amount());
    EXPECT_THAT(harmful_losses(report), IsEmpty());
  }
}

// Where children are followed, probes are in every process that maps the same files.
class FollowedReturnsTest : public ReturnsTest, public testing::WithParamInterface<const char*> {};

TEST_P(FollowedReturnsTest, ARefusedNewIsHandledAlsoInProgramsThatNobodyTraces) {
  const std::vector<Returning> programs = throwing_programs();
  std::vector<std::unique_ptr<Running>> targets;
  std::vector<std::unique_ptr<Running>> bystanders;
  std::vector<pid_t> pids;
  for (const Returning& what : programs) {
    targets.push_back(std::make_unique<Running>(what));
    bystanders.push_back(std::make_unique<Running>(what));
    pids.push_back(targets.back()->pid());
  }
  Attached leaktrace(pids, exactly({"--follow", "--probe-mode", GetParam()}));
  for (const auto& one : targets) one->begin();
  for (const auto& one : bystanders) one->begin();
  for (const auto& one : targets) one->await_end();
  for (const auto& one : bystanders) one->await_end();
  const Report report = leaktrace.stop();
  EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    SCOPED_TRACE(programs[i].program + " " + programs[i].preload);
    const std::string untraced = said_untraced(programs[i]);
    EXPECT_EQ(targets[i]->said(), untraced);
    EXPECT_EQ(bystanders[i]->said(), untraced);
    expect_leaks(report, untraced, targets[i]->pid());
  }
  EXPECT_EQ(report.acquired("ask_too_much"), Amount());
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, FollowedReturnsTest, testing::Values("session", "multi", "single"),
                         [](const auto& mode) { return std::string(mode.param); });

TEST_F(ReturnsTest, AnAllocatorThatProfilesItselfSeesTheSameStacks) {
  const Returning what{"self_profiling"};
  Running target(what);
  Attached leaktrace({target.pid()}, exactly());
  target.begin();
  target.await_end();
  const Report report = leaktrace.stop();
  const std::string said = target.said();
  EXPECT_EQ(said, said_untraced(what));
  expect_leaks(report, said, 0);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_F(ReturnsTest, AnExceptionPassesThroughCodeThatIsMadeAtRunTime) {
  const Returning what{"jit_throw"};
  Running target(what);
  Attached leaktrace({target.pid()}, exactly());
  target.begin();
  target.await_end();
  const Report report = leaktrace.stop();
  const std::string said = target.said();
  EXPECT_EQ(said, said_untraced(what));
  expect_leaks(report, said, 0);
}

// The program looks at malloc's return address while malloc runs.
class TrampolineTest : public ReturnsTest {
 protected:
  struct Seen {
    std::string said;
    Report report;
  };
  static Seen trace(const std::string& program, const std::vector<std::string>& options) {
    Running target({program});
    Attached leaktrace({target.pid()}, exactly(options));
    target.begin();
    target.await_end();
    Report report = leaktrace.stop();
    EXPECT_THAT(harmful_losses(report), IsEmpty());
    return {target.said(), std::move(report)};
  }
  static constexpr const char* kReplaced =
      "looked 200 replaced 200\nleaked leak_and_look 200 209715200\n";
  static constexpr const char* kOwn = "looked 200 replaced 0\nleaked leak_and_look 200 209715200\n";
};

TEST_F(TrampolineTest, PlainMallocHasOneAndTheProgramCanTell) {
  const Seen seen = trace("return_address", {"--probe-mode", "session"});
  EXPECT_EQ(seen.said, kReplaced);
  expect_leaks(seen.report, seen.said, 0);
}

TEST_F(TrampolineTest, NoneIsUsedWhenNoneIsWanted) {
  const Seen seen = trace("return_address", {"--no-trampolines"});
  EXPECT_EQ(seen.said, kOwn);
  expect_leaks(seen.report, seen.said, 0);
}

TEST_F(TrampolineTest, AGoProgramHasNone) {
  for (const char* mode : {"session", "multi", "single"}) {
    SCOPED_TRACE(mode);
    const Seen seen = trace("return_address_go", {"--probe-mode", mode});
    EXPECT_EQ(seen.said, kOwn);
    expect_leaks(seen.report, seen.said, 0);
  }
}

}  // namespace
}  // namespace leaktrace::runtime
