// SPDX-License-Identifier: Apache-2.0
//
// A program that goes through many more call stacks than leaktrace keeps.
#include <gmock/gmock.h>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kStacksAThread = "1500";
constexpr std::uint64_t kLeaks = 20;

class Recycling : public RuntimeTest {};

void expect_every_leak_named(const Report& report) {
  // On a busy machine the tables may fill up for a moment while the program walks.
  auto losses = harmful_losses(report);
  losses.erase("stack_table_full");
  losses.erase("site_table_full");
  EXPECT_THAT(losses, IsEmpty());
  EXPECT_GT(report.json().at("stacks_recycled").get<std::uint64_t>(), 300U);
  EXPECT_EQ(report.outstanding("leak_at_the_end"), (Amount{kLeaks, kLeaks * 72}));
  EXPECT_EQ(report.sites_with("leak_at_the_end"), kLeaks);
  EXPECT_EQ(report.outstanding("map_and_unmap"), (Amount{0, 0}));
}

TEST_F(Recycling, LeaksAfterThousandsOfStacksAreNamed) {
  const TracedRun traced = run_traced({testprog("stack_walk"), kStacksAThread},
                                      {"--max-stacks", "256", "--interval", "0.1"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_every_leak_named(traced.report());
}

TEST_F(Recycling, SoTheyAreWhenTheTableOfSitesIsTheSmallOne) {
  const TracedRun traced = run_traced({testprog("stack_walk"), kStacksAThread},
                                      {"--max-sites", "256", "--interval", "0.1"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_every_leak_named(traced.report());
}

TEST_F(Recycling, ARecordingSaysTheSame) {
  const std::string file = dir_.file("walk.lt");
  const Outcome recorded =
      run_leaktrace({"record", "--max-stacks", "256", "--interval", "0.1", "-o", file, "--",
                     testprog("stack_walk"), kStacksAThread});
  ASSERT_EQ(recorded.status, 0) << recorded.err;
  const Outcome json = run_leaktrace({"report", file, "--format", "json"});
  ASSERT_EQ(json.status, 0) << json.err;
  expect_every_leak_named(Report(json.out));
  const Outcome text = run_leaktrace({"report", file});
  EXPECT_THAT(text.out, HasSubstr("call stacks with nothing outstanding made room"));
}

}  // namespace
}  // namespace leaktrace::runtime
