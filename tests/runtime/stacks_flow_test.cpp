// SPDX-License-Identifier: Apache-2.0
//
// Stacks that ordinary calls did not make: signals, exceptions, coroutines, fibers, jumps, vfork,
// and more frames than are followed.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/stack_expectations.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::IsEmpty;

/// A program of testprogs/stacks, all of whose stacks should be whole.
struct Flow {
  std::string name;
  std::string source;
  std::vector<ExpectedLeak> leaks;
};

std::ostream& operator<<(std::ostream& out, const Flow& flow) {
  return out << flow.name;
}

Flow signals() {
  return {"signals",
          "signals.c",
          {{"leak_in_handler", started_by_libc({"leak_in_handler", "on_plain_signal", "?", "?",
                                                "raise_here", "interrupt_plain"})},
           {"leak_on_alternate_stack",
            started_by_libc({"leak_on_alternate_stack", "on_alternate_stack", "?", "?",
                             "raise_here", "interrupt_to_alternate_stack"})},
           {"leak_in_nested_handler",
            started_by_libc({"leak_in_nested_handler", "on_inner_signal", "?", "?", "raise_here",
                             "on_outer_signal", "?", "?", "raise_here", "interrupt_twice"})}}};
}

Flow exceptions() {
  return {"exceptions",
          "exceptions.cpp",
          {{"leak_in_destructor",
            started_by_libc({"leak_in_destructor", "~Guard", "throw_past_guard", "catch_number"})},
           {"leak_in_catch", started_by_libc({"leak_in_catch", "catch_number"})},
           {"leak_in_second_catch", started_by_libc({"leak_in_second_catch", "catch_passed_on"})},
           {"leak_in_copy", started_by_libc({"leak_in_copy", "Passenger::Passenger", "throw_copied",
                                             "catch_copied"})},
           {"leak_after_catch", started_by_libc({"leak_after_catch", "catch_copied"})}}};
}

/// The bodies go by their coroutine's name. What is inlined into the one who resumes is the
/// library's and the program's own.
Flow coroutines() {
  return {"coroutines",
          "coroutines.cpp",
          {{"leak_in_first_step",
            started_by_libc({"leak_in_first_step", "stepwise", "*", "first_step"})},
           {"leak_in_resumed_step",
            started_by_libc({"leak_in_resumed_step", "stepwise", "*", "second_step"})},
           {"leak_in_awaited",
            started_by_libc({"leak_in_awaited", "awaited", "awaiting", "*", "await_both"})},
           {"leak_after_await", started_by_libc({"leak_after_await", "awaiting", "awaited",
                                                 "awaiting", "*", "await_both"})}}};
}

/// A fiber's stack ends in the C library's code that begins it.
Flow contexts() {
  return {"contexts",
          "contexts.c",
          {{"leak_in_fiber", {"leak_in_fiber", "fiber_step", "fiber_body", "?"}},
           {"leak_in_resumed_fiber", {"leak_in_resumed_fiber", "fiber_step", "fiber_body", "?"}}}};
}

Flow tail_calls() {
  return {
      "tail_calls",
      "tail_calls.c",
      {{"leak_after_jump", started_by_libc({"leak_after_jump", "calls_jumper"})},
       {"leak_after_jumps", started_by_libc({"leak_after_jumps", "jumps_first", "calls_jumpers"})},
       {"leak_by_jump_to_malloc", started_by_libc({"leak_by_jump_to_malloc"})}}};
}

class Flows : public RuntimeTest, public testing::WithParamInterface<Flow> {
 protected:
  [[nodiscard]] static std::string program() {
    return testprog("stacks/stacks_" + GetParam().name);
  }
};

TEST_P(Flows, HaveExactStacks) {
  const TracedRun traced = run_traced({program()});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(report, {traced.outcome.out, GetParam().source, GetParam().leaks});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_P(Flows, HaveExactStacksWhenAttached) {
  Process target({program(), "--wait", "--linger"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  const Report report = attached.stop();
  expect_stacks(report, {target.out(), GetParam().source, GetParam().leaks});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Each, Flows,
                         testing::Values(signals(), exceptions(), coroutines(), contexts(),
                                         tail_calls()),
                         [](const auto& each) { return each.param.name; });

class ControlFlow : public RuntimeTest {};

/// The exception object that is kept, and the frames of coroutines that nobody destroys: blocks
/// that the language takes, at the place in the program that made it.
TEST_F(ControlFlow, BlocksOfTheLanguageAreTheProgramsOwn) {
  const Report thrown = run_traced({testprog("stacks/stacks_exceptions"), "7"}).report();
  const auto exceptions = sites_of(thrown, "__cxa_allocate_exception");
  ASSERT_EQ(exceptions.size(), 1U);
  EXPECT_EQ(exceptions[0].at("outstanding").at("count"), 7);
  EXPECT_TRUE(
      reads(Report::functions(exceptions[0]),
            started_by_libc({"__cxa_allocate_exception", "throw_number", "keep_exception"})))
      << exceptions[0].dump(1);

  const Report abandoned = run_traced({testprog("stacks/stacks_coroutines"), "7"}).report();
  const auto frames = abandoned.stacks_with("never_destroyed");
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].at("outstanding").at("count"), 7);
  EXPECT_TRUE(reads(Report::functions(frames[0]),
                    started_by_libc({"operator new", "never_destroyed", "abandon_frames"})))
      << frames[0].dump(1);
}

/// Right at every single instruction of prologues, epilogues and calls, and of the stubs through
/// which calls of libraries go: the program interrupts itself at each and leaks there.
TEST_F(ControlFlow, IsRightWhereverItIsInterrupted) {
  const std::string program = testprog("stacks/stacks_stepping");
  if (!std::filesystem::exists(program)) GTEST_SKIP() << "single steps need an x86 processor";
  const TracedRun traced = run_traced({program});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(report, {traced.outcome.out,
                         "stepping.c",
                         {{"leak_at_step", started_by_libc({"leak_at_step", "on_trap", "?", "*",
                                                            "step_through_frames"})},
                          {"leak_in_plt", started_by_libc({"leak_in_plt", "on_trap", "?", "?",
                                                           "calls_plt", "step_through_plt"})}}});
  auto said = stacks_said(traced.outcome.out);
  EXPECT_GT(said["leak_at_step"].size(), 40U);
  EXPECT_GE(said["leak_in_plt"].size(), 3U) << "the stub is one jump, two pushes and another jump";
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

class Recursion : public RuntimeTest {};

constexpr std::size_t kMostFrames = 127;

void expect_cut_by_depth(const Report& report, const Outcome& outcome,
                         const std::string& function) {
  SCOPED_TRACE(function);
  EXPECT_EQ(report.outstanding(function), leaks_said(outcome.out)[function]);
  const auto sites = sites_of(report, function);
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].at("stack").size(), kMostFrames);
  EXPECT_EQ(sites[0].at("stack_complete"), false);
  EXPECT_EQ(sites[0].at("stack_end"), "depth");
  const auto said = stacks_said(outcome.out)[function];
  ASSERT_EQ(said.size(), 1U);
  Addresses innermost = *said.begin();
  ASSERT_GE(innermost.size(), kMostFrames);
  innermost.resize(kMostFrames - 1);
  EXPECT_EQ(callers(sites[0]), innermost);
}

TEST_F(Recursion, IsFollowedTo127FramesAndThenSaidToBeCut) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_recursion")});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  Chain hundred(100, "descend");
  hundred.insert(hundred.begin(), "leak_shallow");
  expect_stacks(
      report,
      {traced.outcome.out, "recursion.c", {{"leak_shallow", started_by_libc(std::move(hundred))}}});
  expect_cut_by_depth(report, traced.outcome, "leak_deep");
  expect_cut_by_depth(report, traced.outcome, "leak_very_deep");
  EXPECT_EQ(harmful_losses(report), (std::map<std::string, std::uint64_t>{{"stack_truncated", 2}}));
}

class Vfork : public RuntimeTest {};

/// The child runs in its parent's memory: its leak is one of the parent's, at a whole stack.
TEST_F(Vfork, ChildrenLeakInTheirParent) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_vfork")}, {"--follow"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(report,
                {traced.outcome.out,
                 "vfork.c",
                 {{"leak_in_vfork_child",
                   started_by_libc({"leak_in_vfork_child", "child_work", "run_vfork_child"})},
                  {"leak_after_vfork", started_by_libc({"leak_after_vfork", "parent_work"})}}});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_F(Vfork, ChildrenThatAreNotFollowedDoNotDisturbTheirParent) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_vfork")});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(report,
                {traced.outcome.out,
                 "vfork.c",
                 {{"leak_after_vfork", started_by_libc({"leak_after_vfork", "parent_work"})}}});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::runtime
