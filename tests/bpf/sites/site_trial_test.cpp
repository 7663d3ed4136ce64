// SPDX-License-Identifier: Apache-2.0
// What the trial says of the running kernel, beside what a probe on such an instruction costs.
#include "user/tracer/site_trial.h"

#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "tests/bpf/sites/site_counter.h"
#include "user/tracer/feature_programs.h"
#include "user/tracer/features.h"
#include "user/tracer/link.h"
#include "user/tracer/site_trial_code.h"

// After the types that it uses.
#include <site_counter.skel.h>

namespace leaktrace::tracer {
namespace {

using Clock = std::chrono::steady_clock;

struct CounterDeleter {
  void operator()(site_counter_bpf* skeleton) const { site_counter_bpf__destroy(skeleton); }
};

class Trial : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "probes need root";
  }
};

TEST_F(Trial, TriesEveryClass) {
  const auto begin = Clock::now();
  const SiteTrial& trial = site_trial();
  const auto took = Clock::now() - begin;
  ASSERT_EQ(trial.failure, "");
  EXPECT_EQ(trial.tried.count(), trial_functions().size());
  EXPECT_EQ(trial.emulated & always_emulated(), always_emulated());
  EXPECT_FALSE(contains(trial.emulated, InstructionClass::other));
  fmt::print("tried in {} us\n",
             std::chrono::duration_cast<std::chrono::microseconds>(took).count());
}

TEST_F(Trial, SaysTheSameWithEachKindOfLink) {
  const SiteTrial one_by_one = run_site_trial(TrialLinks::one_by_one);
  ASSERT_EQ(one_by_one.failure, "");
  EXPECT_EQ(one_by_one.tried.count(), trial_functions().size());
  if (!multi_probes_work()) GTEST_SKIP() << "no uprobe-multi links here";
  const SiteTrial at_once = run_site_trial(TrialLinks::at_once);
  ASSERT_EQ(at_once.failure, "");
  EXPECT_EQ(at_once.emulated, one_by_one.emulated);
}

long nanoseconds_per_call(void (*function)()) {
  constexpr int kCalls = 200;
  constexpr int kRounds = 3;
  auto best = Clock::duration::max();
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = Clock::now();
    for (int i = 0; i < kCalls; ++i) function();
    best = std::min(best, Clock::now() - begin);
  }
  return std::chrono::duration_cast<std::chrono::nanoseconds>(best).count() / kCalls;
}

// Printed and not asserted: a busy machine would make it wrong.
TEST_F(Trial, PrintsWhatProbesCost) {
  const SiteTrial& trial = site_trial();
  const std::unique_ptr<site_counter_bpf, CounterDeleter> counter(
      site_counter_bpf__open_and_load());
  ASSERT_NE(counter, nullptr);
  std::vector<Link> links;
  for (const TrialFunction& function : trial_functions()) {
    const TargetPlace place = place_of(function.instruction);
    LIBBPF_OPTS(bpf_uprobe_opts, options);
    links.emplace_back(bpf_program__attach_uprobe_opts(counter->progs.count_return, 0,
                                                       place.path.c_str(), place.offset, &options));
    ASSERT_TRUE(links.back());
  }
  for (const TrialFunction& function : trial_functions()) {
    fmt::print("{:<22} {:<14} {:>6} ns a call\n", class_name(function.of_class),
               contains(trial.emulated, function.of_class) ? "emulated" : "single-stepped",
               nanoseconds_per_call(function.call));
  }
  const site_hits& hits = counter->bss->hits[0];
  EXPECT_EQ(hits.count, trial_functions().size() * 600);
}

}  // namespace
}  // namespace leaktrace::tracer
