// SPDX-License-Identifier: Apache-2.0
//
// Each small leaker says what it leaked; leaktrace must say the same, and name the functions.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::IsEmpty;

void expect_leaks(const Report& report, const std::map<std::string, Amount>& said) {
  ASSERT_FALSE(said.empty());
  for (const auto& [function, amount] : said) {
    EXPECT_EQ(report.outstanding(function), amount) << function;
  }
}

/// Every stack of the function's sites reaches the program's start, through main.
void expect_whole_stacks(const Report& report, const std::string& function) {
  for (const auto& site : report.stacks_with(function)) {
    EXPECT_EQ(site.at("stack_complete"), true) << site.dump(1);
    EXPECT_THAT(Report::functions(site), testing::Contains(testing::StartsWith("main")))
        << function;
  }
}

class Leakers : public RuntimeTest, public testing::WithParamInterface<const char*> {};

TEST_P(Leakers, LeakWhatTheySay) {
  const TracedRun traced = run_traced({testprog(GetParam())});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const auto said = leaks_said(traced.outcome.out);
  const Report report = traced.report();
  expect_leaks(report, said);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Each, Leakers,
                         testing::Values("leak_mmap", "leak_mremap_partial", "leak_realloc_growth",
                                         "leak_dlopen", "static_leak", "leak_longjmp",
                                         "leak_thread_churn", "many_stacks", "many_blocks",
                                         "exec_chain", "namespace_leak"),
                         [](const auto& each) { return std::string(each.param); });

class LeakersAttached : public RuntimeTest, public testing::WithParamInterface<const char*> {};

TEST_P(LeakersAttached, LeakWhatTheySay) {
  Process target({testprog(GetParam()), "--wait", "--linger"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  const Report report = attached.stop();
  expect_leaks(report, leaks_said(target.out()));
  auto losses = harmful_losses(report);
  // The first stacks after an exec may be cut: the new program's mappings are not known yet.
  if (std::string(GetParam()) == "exec_chain") losses.erase("stack_truncated");
  EXPECT_THAT(losses, IsEmpty());
  target.signal(SIGTERM);
  EXPECT_EQ(target.wait().status, 0);
}

INSTANTIATE_TEST_SUITE_P(Each, LeakersAttached,
                         testing::Values("leak_mmap", "leak_mremap_partial", "leak_realloc_growth",
                                         "leak_dlopen", "static_leak", "leak_longjmp",
                                         "leak_thread_churn", "many_stacks", "many_blocks",
                                         "exec_chain"),
                         [](const auto& each) { return std::string(each.param); });

class Stacks : public RuntimeTest {};

TEST_F(Stacks, AreWholeWithoutFramePointers) {
  const TracedRun traced = run_traced({testprog("many_stacks"), "64"});
  const Report report = traced.report();
  expect_whole_stacks(report, "leak_at_bottom");
  EXPECT_EQ(report.sites_with("leak_at_bottom"), 64U);
}

TEST_F(Stacks, ReachThroughAPluginLoadedLater) {
  const TracedRun traced = run_traced({testprog("leak_dlopen")});
  const Report report = traced.report();
  expect_whole_stacks(report, "plugin_leaks");
  const auto sites = report.stacks_with("plugin_leaks");
  ASSERT_EQ(sites.size(), 1U);
  const auto names = Report::functions(sites[0]);
  ASSERT_GE(names.size(), 3U);
  EXPECT_EQ(names[0], "plugin_malloc");
  EXPECT_EQ(names[1], "plugin_leaks");
  EXPECT_EQ(names[2], "plugin_work");
}

TEST_F(Stacks, HaveFileAndLine) {
  const TracedRun traced = run_traced({testprog("leak_realloc_growth")});
  const auto sites = traced.report().stacks_with("append_history");
  ASSERT_FALSE(sites.empty());
  const auto& frame = sites[0].at("stack").at(0);
  EXPECT_THAT(frame.at("file").get<std::string>(), testing::EndsWith("leak_realloc_growth.c"));
  EXPECT_GT(frame.at("line"), 0);
}

class OwnAllocator : public RuntimeTest, public testing::WithParamInterface<const char*> {};

/// malloc and free are not glibc's but those of a preloaded library.
TEST_P(OwnAllocator, IsTracedInItsPlace) {
  const TracedRun traced = run_traced(
      {"/usr/bin/env", "LD_PRELOAD=" + testprog("libown_allocator.so"), testprog(GetParam())});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_leaks(report, leaks_said(traced.outcome.out));
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Each, OwnAllocator,
                         testing::Values("leak_realloc_growth", "leak_dlopen", "many_blocks",
                                         "leak_thread_churn"),
                         [](const auto& each) { return std::string(each.param); });

class Blocks : public RuntimeTest {};

TEST_F(Blocks, AreFilteredBySize) {
  const TracedRun traced = run_traced({testprog("leak_longjmp")}, {"--min-size", "100"});
  const Report report = traced.report();
  EXPECT_EQ(report.outstanding("hold_for_jump"), Amount{});
  EXPECT_EQ(report.outstanding("hold_for_throw"), Amount{});
  EXPECT_EQ(report.outstanding("hold_after"), (Amount{200, 200 * 112}));
  const TracedRun small = run_traced({testprog("leak_longjmp")}, {"--max-size", "60"});
  EXPECT_EQ(small.report().outstanding("hold_for_jump"), (Amount{1600, 1600 * 48}));
  EXPECT_EQ(small.report().outstanding("hold_after"), Amount{});
}

TEST_F(Blocks, AreFilteredByAge) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--duration", "4", "--older", "2"}));
  const Report report = attached.wait();
  const Amount old = report.outstanding("leak_tick");
  EXPECT_GT(old.count, 50U);   // some two seconds' worth, at most 200 a second
  EXPECT_LT(old.count, 600U);  // but not four
  EXPECT_EQ(report.outstanding("pass_tick"), Amount{});
}

TEST_F(Blocks, AreShownOneByOne) {
  const TracedRun traced = run_traced({testprog("crasher"), "25"}, {"--show-blocks"});
  const auto sites = traced.report().stacks_with("leak_before_crash");
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].at("blocks").size(), 25U);
  for (const auto& block : sites[0].at("blocks")) EXPECT_EQ(block.at("size"), 256);
}

TEST_F(Blocks, OfOneKindAreLeftOut) {
  const TracedRun heap = run_traced({testprog("leak_mmap")}, {"--kinds", "heap"});
  EXPECT_EQ(heap.report().outstanding("leak_mapping"), Amount{});
  const TracedRun both = run_traced({testprog("leak_mmap")}, {"--kinds", "heap,mmap"});
  EXPECT_EQ(both.report().outstanding("leak_mapping", "mmap"), (Amount{100, 100 * 65536}));
}

TEST_F(Blocks, OfADeletedProgramAreNamed) {
  const std::string copy = dir_.file("soon_gone");
  std::filesystem::copy_file(testprog("namespace_leak"), copy);
  Process target({copy, "--wait", "--linger"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  std::filesystem::remove(copy);
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  expect_leaks(attached.stop(), leaks_said(target.out()));
}

}  // namespace
}  // namespace leaktrace::runtime
