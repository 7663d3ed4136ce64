// SPDX-License-Identifier: Apache-2.0
//
// Stacks through code that comes and goes: libraries that are closed and others in their place,
// code made at run time, and programs of another language.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/stack_expectations.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::IsEmpty;

// ---- Libraries that are closed ------------------------------------------------------------------

std::vector<ExpectedLeak> plugin_leaks(const std::vector<std::string>& names) {
  std::vector<ExpectedLeak> leaks;
  for (const std::string& name : names) {
    leaks.push_back({"leak_in_" + name, started_by_libc({"leak_in_" + name, "step_in_" + name,
                                                         "plugin_work", "use_plugin"})});
  }
  return leaks;
}

/// All at one place, or the test would ask nothing.
void expect_one_place(const std::string& out) {
  std::set<std::string> places;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, name, address;
    if (words >> word >> name >> address && word == "mapped") places.insert(address);
  }
  EXPECT_EQ(places.size(), 1U) << out;
}

class ClosedLibraries : public RuntimeTest {};

/// Each stack has the names of the library that was there when it was taken.
TEST_F(ClosedLibraries, KeepTheirNames) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_closing"), "first", "shifted"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_one_place(traced.outcome.out);
  const Report report = traced.report();
  expect_stacks(report, {traced.outcome.out, "", plugin_leaks({"first", "shifted"})});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_F(ClosedLibraries, KeepTheirNamesWhenAttached) {
  Process target({testprog("stacks/stacks_closing"), "--wait", "--linger", "shifted", "first"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done"));
  expect_one_place(target.out());
  const Report report = attached.stop();
  expect_stacks(report, {target.out(), "", plugin_leaks({"first", "shifted"})});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

/// Two libraries whose code is alike, called from one place: the addresses of their stacks are the
/// same to the last.
TEST_F(ClosedLibraries, AreToldFromTheirTwins) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_closing"), "first", "twin"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_one_place(traced.outcome.out);
  auto said = stacks_said(traced.outcome.out);
  ASSERT_EQ(said["leak_in_first"], said["leak_in_twin_"]);
  const Report report = traced.report();
  expect_stacks(report, {traced.outcome.out, "", plugin_leaks({"first", "twin_"})});
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

// ---- Code made at run time ----------------------------------------------------------------------

class Jit : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (!std::filesystem::exists(testprog("stacks/stacks_jit"))) {
      GTEST_SKIP() << "the machine code of this test is x86's";
    }
  }
};

TEST_F(Jit, IsFollowedByFramePointers) {
  const TracedRun traced = run_traced({testprog("stacks/stacks_jit")});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_stacks(
      report,
      {traced.outcome.out,
       "",
       {{"leak_with_fp", started_by_libc({"leak_with_fp", "?", "call_with", "run_with_fp"})},
        {"leak_with_fp_nested",
         started_by_libc({"leak_with_fp_nested", "?", "?", "call_with", "run_with_fp"})}}});
  // The generated code that calls malloc itself is the innermost frame; it has no name.
  const auto sites = report.stacks_with("run_direct");
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(report.outstanding("run_direct"), leaks_said(traced.outcome.out)["run_direct"]);
  EXPECT_EQ(sites[0].at("stack_complete"), true);
  EXPECT_TRUE(
      reads(Report::functions(sites[0]), started_by_libc({"?", "call_with", "run_direct"})));
  EXPECT_EQ(sites[0].at("stack").at(0).at("function"), "");
  // What rests on frame pointers is said: one frame, and two where generated code is nested.
  EXPECT_EQ(sites[0].at("frames_by_frame_pointer"), 1);
  const auto nested = report.stacks_with("leak_with_fp_nested");
  ASSERT_EQ(nested.size(), 1U);
  EXPECT_EQ(nested[0].at("frames_by_frame_pointer"), 2);
}

class JitWithoutFramePointers : public Jit, public testing::WithParamInterface<const char*> {};

/// Nobody can tell who called it, whatever the register holds: a stack that went on would be a lie.
TEST_P(JitWithoutFramePointers, EndsTheStackAndSaysSo) {
  const std::string function = std::string("leak_fp_") + GetParam();
  const TracedRun traced = run_traced({testprog("stacks/stacks_jit")});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.outstanding(function), leaks_said(traced.outcome.out)[function]);
  const auto sites = sites_of(report, function);
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_THAT(Report::functions(sites[0]), testing::ElementsAre(function, ""));
  EXPECT_EQ(sites[0].at("stack_complete"), false);
  EXPECT_THAT(sites[0].at("stack_end"), testing::AnyOf("no_row", "no_mapping"));
  EXPECT_GE(report.loss("stack_truncated"), 1U);
}

INSTANTIATE_TEST_SUITE_P(Holding, JitWithoutFramePointers,
                         testing::Values("zero", "number", "heap", "stack"),
                         [](const auto& each) { return std::string(each.param); });

// ---- Rust ---------------------------------------------------------------------------------------

/// The frames of a stack that are of the program's own source, each by a part of its name: how much
/// of it is said beside depends on the mangling.
struct RustLeak {
  std::string function;
  std::vector<std::string> own;
};

std::vector<std::string> names_of_source(const json& site, const std::string& source) {
  std::vector<std::string> names;
  for (const json& frame : site.at("stack")) {
    if (frame.at("file").get<std::string>().ends_with(source))
      names.push_back(frame.at("function"));
  }
  return names;
}

bool ends_with(const Addresses& addresses, const Addresses& end) {
  return addresses.size() >= end.size() && std::equal(end.rbegin(), end.rend(), addresses.rbegin());
}

void expect_rust_leak(const Report& report, const std::string& out, const RustLeak& leak) {
  SCOPED_TRACE(leak.function);
  Amount found;
  const auto said = stacks_said(out)[leak.function];
  ASSERT_EQ(said.size(), 1U);
  for (const json& site : report.json().at("sites")) {
    const auto names = names_of_source(site, "/stacks_rust.rs");
    if (names.empty() || names[0].find(leak.own[0]) == std::string::npos) continue;
    found += {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
    EXPECT_EQ(site.at("stack_complete"), true);
    std::vector<testing::Matcher<std::string>> parts;
    for (const std::string& part : leak.own) parts.emplace_back(testing::HasSubstr(part));
    EXPECT_THAT(names, testing::ElementsAreArray(parts));
    EXPECT_TRUE(ends_with(callers(site), *said.begin()));
    EXPECT_EQ(Report::functions(site).back(), "_start");
  }
  EXPECT_EQ(found, leaks_said(out)[leak.function]);
}

class Rust : public RuntimeTest, public testing::WithParamInterface<const char*> {};

TEST_P(Rust, ReleasesHaveExactStacks) {
  const std::string program = testprog(std::string("stacks/stacks_rust_") + GetParam());
  if (!std::filesystem::exists(program)) GTEST_SKIP() << "there was no rustc when this was built";
  const TracedRun traced = run_traced({program});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  const std::vector<RustLeak> leaks = {
      {"keep", {"::keep", "::through_trait", "::main"}},
      {"leak_generic", {"::leak_generic", "::main"}},
      {"leak_in_closure", {"::leak_in_closure::{", "::call_twice", "::leak_in_closure", "::main"}},
      {"drop", {"::drop", "::panics", "::catches::{", "::catches", "::main"}},
  };
  for (const RustLeak& leak : leaks) expect_rust_leak(report, traced.outcome.out, leak);
  for (const std::string& name : Report::functions(report.stacks_with("_start").front())) {
    EXPECT_THAT(name, testing::Not(testing::ContainsRegex("_ZN|_R[NIM]|17h[0-9a-f]{16}")))
        << "is not demangled";
  }
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Mangled, Rust, testing::Values("default", "v0"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace leaktrace::runtime
