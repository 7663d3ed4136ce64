// SPDX-License-Identifier: Apache-2.0
//
// Frames of every shape (testprogs/stacks/frames.c), in each way that a program can be built: is
// every chain exact, frame by frame, and the same that libgcc's unwinder finds in the program?
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/stack_expectations.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::IsEmpty;

std::vector<ExpectedLeak> frames_leaks() {
  return {
      {"leak_plain", started_by_libc({"leak_plain", "plain_inner", "plain_outer"})},
      {"leak_alloca", started_by_libc({"leak_alloca", "with_alloca"})},
      {"leak_vla", started_by_libc({"leak_vla", "with_vla"})},
      {"leak_realigned", started_by_libc({"leak_realigned", "realigned"})},
      {"leak_realigned_arguments",
       started_by_libc({"leak_realigned_arguments", "realigned_arguments"})},
      {"leak_realigned_alloca", started_by_libc({"leak_realigned_alloca", "realigned_alloca"})},
      {"leak_big_frame", started_by_libc({"leak_big_frame", "big_frame"})},
      {"leak_noreturn",
       started_by_libc({"leak_noreturn", "give_up", "ends_in_a_call", "noreturn_call"})},
      {"leak_callback", started_by_libc({"leak_callback", "compare", "?", "*", "sort"})},
      {"leak_thread", {"leak_thread", "thread_body", "?", "?"}},
      {"leak_inlined",
       started_by_libc({"leak_inlined", "inlined_inner", "inlined_outer", "has_inlined"})},
  };
}

class Frames : public RuntimeTest, public testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] static std::string program() {
    return testprog("stacks/stacks_" + std::string(GetParam()));
  }
};

TEST_P(Frames, AreExact) {
  const TracedRun traced = run_traced({program()});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(report, {traced.outcome.out, "frames.c", frames_leaks()});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Built, Frames,
                         testing::Values("o2", "o3", "static", "static_pie", "frame_pointers",
                                         "debug_frame"),
                         [](const auto& each) { return std::string(each.param); });

class FramesAttached : public Frames {};

TEST_P(FramesAttached, AreExact) {
  Process target({program(), "--wait", "--linger"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  const Report report = attached.stop();
  expect_stacks(report, {target.out(), "frames.c", frames_leaks()});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Built, FramesAttached, testing::Values("o2", "static"),
                         [](const auto& each) { return std::string(each.param); });

class Lines : public RuntimeTest {};

TEST_F(Lines, AreThoseOfTheCallsAlsoOfInlinedOnes) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_o2")});
  const auto sites = sites_of(traced.report(), "leak_inlined");
  ASSERT_EQ(sites.size(), 1U);
  const json& stack = sites[0].at("stack");
  const std::vector<std::string> callers = {"inlined_inner", "inlined_outer", "has_inlined"};
  for (std::size_t i = 0; i < callers.size(); ++i) {
    EXPECT_EQ(stack.at(i + 1).at("line"), line_of("frames.c", callers[i])) << callers[i];
    EXPECT_EQ(stack.at(i + 1).at("inlined"), callers[i] != "has_inlined");
  }
  EXPECT_EQ(stack.at(4).at("line"), line_of("frames.c", "main inlined"));
}

/// The physical frames of a program's own file, as offsets in it.
std::vector<std::uint64_t> offsets_in(const json& site, const std::string& module) {
  std::vector<std::uint64_t> offsets;
  for (const json& frame : site.at("stack")) {
    if (frame.at("inlined") || !frame.at("module").get<std::string>().ends_with(module)) continue;
    offsets.push_back(frame.at("offset"));
  }
  return offsets;
}

/// By bytes, which are different for each leak of frames.c.
std::map<std::uint64_t, json> heap_sites_by_bytes(const Report& report) {
  std::map<std::uint64_t, json> sites;
  for (const json& site : report.json().at("sites")) {
    if (site.at("kind") == "heap") sites[site.at("outstanding").at("bytes")] = site;
  }
  return sites;
}

class Stripped : public RuntimeTest {};

/// A program without symbols has the stacks of its twin, whose names then fit the offsets.
TEST_F(Stripped, ProgramsHaveTheOffsetsOfTheirTwins) {
  const TracedRun stripped = run_traced({testprog("stacks/stacks_stripped")});
  const TracedRun whole = run_traced({testprog("stacks/stacks_o2")});
  auto without_names = heap_sites_by_bytes(stripped.report());
  auto with_names = heap_sites_by_bytes(whole.report());
  const auto said = leaks_said(whole.outcome.out);
  ASSERT_EQ(said.size(), frames_leaks().size());
  for (const auto& [function, amount] : said) {
    SCOPED_TRACE(function);
    ASSERT_TRUE(without_names.contains(amount.bytes));
    const json& site = without_names[amount.bytes];
    EXPECT_EQ(site.at("outstanding").at("count"), amount.count);
    EXPECT_EQ(site.at("stack_complete"), true);
    const auto offsets = offsets_in(site, "stacks_stripped");
    EXPECT_EQ(offsets, offsets_in(with_names[amount.bytes], "stacks_o2"));
    EXPECT_FALSE(offsets.empty());
    for (const json& frame : site.at("stack")) {
      if (!frame.at("module").get<std::string>().ends_with("stacks_stripped")) continue;
      EXPECT_EQ(frame.at("function"), "") << "there is no symbol to take it from";
    }
  }
  EXPECT_THAT(harmful_losses(stripped.report()), IsEmpty());
}

/// Of a library that was stripped, functions that are exported have names, and lend them to no
/// other.
TEST_F(Stripped, LibrariesNameWhatTheyExport) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_uses_hidden_library")});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  const auto sites = report.stacks_with("exported_entry");
  ASSERT_EQ(sites.size(), 1U);
  const std::vector<std::string> names = Report::functions(sites[0]);
  ASSERT_GE(names.size(), 6U);
  EXPECT_THAT(std::vector<std::string>(names.begin(), names.begin() + 6),
              testing::ElementsAre("", "", "exported_leak", "", "exported_entry", "main"));
  EXPECT_EQ((std::set<Addresses>{callers(sites[0])}),
            stacks_said(traced.outcome.out)["leak_in_library"]);
  const Amount said = leaks_said(traced.outcome.out)["leak_in_library"];
  EXPECT_EQ(sites[0].at("outstanding").at("count"), said.count);
  EXPECT_EQ(sites[0].at("outstanding").at("bytes"), said.bytes);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::runtime
