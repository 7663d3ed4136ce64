// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/oracle.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leaktrace::tests {
namespace {

/// A moment and a reference that agree on three frames and the end; the tests then spoil them.
struct Pair {
  oracle_stack moment{};
  ReferenceStack reference;

  Pair() {
    moment.count = 3;
    moment.reason = LT_STACK_COMPLETE;
    for (uint64_t i = 0; i < 3; ++i) moment.frames[i] = 0x1000 * (i + 1);
    reference.frames = {0x500, 0x1000, 0x2000, 0x3000};
  }
  [[nodiscard]] Outcome outcome() const { return compare(moment, reference).outcome; }
};

TEST(Verdict, IsEqualOnlyWhenFramesAndEndAre) {
  EXPECT_EQ(Pair().outcome(), Outcome::equal);
  EXPECT_EQ(compare(Pair().moment, Pair().reference).frames, 3U);

  Pair other_frame;
  other_frame.moment.frames[1] += 1;
  EXPECT_EQ(other_frame.outcome(), Outcome::frame_differs);
  EXPECT_EQ(compare(other_frame.moment, other_frame.reference).frames, 1U);

  Pair one_more;
  one_more.moment.count = 4;
  EXPECT_EQ(one_more.outcome(), Outcome::goes_on);

  Pair one_less;
  one_less.moment.count = 2;
  EXPECT_EQ(one_less.outcome(), Outcome::ends_early);
  one_less.moment.reason = LT_STACK_RULE;
  EXPECT_EQ(one_less.outcome(), Outcome::cut);

  Pair cut_at_end;
  cut_at_end.moment.reason = LT_STACK_NO_ROW;
  EXPECT_EQ(cut_at_end.outcome(), Outcome::cut);
}

TEST(Verdict, KnowsWhatCouldNotBeCompared) {
  Pair gave_up;
  gave_up.reference.stopped_by = "no idea";
  EXPECT_EQ(gave_up.outcome(), Outcome::end_unproven);
  gave_up.moment.count = 4;
  EXPECT_EQ(gave_up.outcome(), Outcome::reference_stops);
  gave_up.reference.missing = ORACLE_LARGE_COPY;
  EXPECT_EQ(gave_up.outcome(), Outcome::copy_ended);

  Pair at_entry;
  at_entry.reference.stopped_by = "nothing describes it";
  at_entry.reference.at_entry_point = true;
  EXPECT_EQ(at_entry.outcome(), Outcome::entry_point);
  at_entry.moment.reason = LT_STACK_RULE;
  EXPECT_EQ(at_entry.outcome(), Outcome::both_stop);
}

class Oracle : public testing::TestWithParam<std::string> {};

TEST_P(Oracle, SeesWhatLibdwflSees) {
  const auto workload = find_workload(GetParam());
  if (!workload) GTEST_SKIP() << workload.error().message();
  const auto result = run_oracle(*workload, {1000, std::chrono::seconds(20)});
  ASSERT_TRUE(result) << result.error().message();
  fmt::print("{}", result->tally.report(GetParam()));
  EXPECT_GT(result->tally.stacks(), 0U);
  EXPECT_LE(result->tally.disagreements() * 10000, result->tally.stacks());
}

INSTANTIATE_TEST_SUITE_P(RealPrograms, Oracle, testing::ValuesIn(workload_names()),
                         [](const auto& test) { return test.param; });

/// The dynamic linker, called by a function of a library: by no name, but through a stub.
bool passes_lazy_binding(const oracle_stack& moment, const CopyUnwinder& unwinder) {
  for (uint32_t i = 0; i + 1 < moment.count; ++i) {
    if (unwinder.describe(moment.frames[i]).starts_with("ld-") &&
        unwinder.describe(moment.frames[i + 1]).find("calls_lazily") != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST(OracleOnCode, FollowsRegistersThroughLazyBinding) {
  const std::string loop = "for i in 1 2 3 4 5; do \"$@\"; done";
  const Workload workload{
      "lazy",
      {"/bin/bash", "-c", loop, "loop", LAZY_BINDING, LAZY_PROVIDER, LAZY_CALLER},
      {"lazy_binding"},
      path_of_libc(),
      {"malloc", "calloc", "realloc"},
      1};
  uint64_t lazily = 0;
  const auto result =
      run_oracle(workload, {1000, std::chrono::seconds(20)},
                 [&](const oracle_stack& moment, const Verdict&, const CopyUnwinder& unwinder) {
                   lazily += passes_lazy_binding(moment, unwinder) ? 1 : 0;
                 });
  ASSERT_TRUE(result) << result.error().message();
  fmt::print("{}", result->tally.report("lazy binding"));
  EXPECT_EQ(result->tally.disagreements(), 0U);
  EXPECT_GE(lazily, 5U);
}

}  // namespace
}  // namespace leaktrace::tests
