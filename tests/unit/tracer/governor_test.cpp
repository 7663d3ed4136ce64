// SPDX-License-Identifier: Apache-2.0
//
// The governor against simulated targets: what they do, and what probes cost them, is arithmetic;
// time is a number.
#include "user/tracer/governor.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

namespace leaktrace::tracer {
namespace {

constexpr double kMillisecond = 1e6;
constexpr double kSecond = 1e9;

constexpr HitCosts kCosts{.entry = 300, .stepped = 900, .returning = 200};

/// A target as arithmetic: each call costs CPU time of its own, and what a probe adds.
struct SimulatedTarget {
  pid_t pid = 1;
  double threads = 1;             ///< CPUs that it keeps busy when it runs
  double own_ns_per_call = 1000;  ///< of the target's own work
  bool stepped = false;
  bool calls_return = true;    ///< every call is hit at its return too
  double short_program = 100;  ///< what a program takes that samples nothing
  double long_program = 3000;  ///< what it takes for a sample
  double sampled = 1;          ///< calls that are sampled at step 0; halved by each step
  std::function<double(double now_ns)> activity = [](double) { return 1.0; };
  /// How many times longer programs take than they should: caches that others use.
  std::function<double(double now_ns)> slowness = [](double) { return 1.0; };

  TargetReading totals{};
  double cpu_ns = 0;
  double cost_ns = 0;
  double useful_ns = 0;
  double entries = 0, returns = 0, timed = 0, timed_ns = 0, samples_taken = 0;

  void run(double now_ns, double wall_ns, bool attached, std::uint32_t step) {
    const double used_ns = wall_ns * threads * activity(now_ns);
    const double samples = std::min(1.0, sampled / static_cast<double>(1U << step));
    const double returning = calls_return ? 1 : samples;
    const double program =
        slowness(now_ns) * ((1 + returning) * short_program + samples * long_program);
    const double trap = stepped ? kCosts.stepped : kCosts.entry;
    const double per_call = attached ? trap + returning * kCosts.returning + program : 0;
    const double calls = used_ns / (own_ns_per_call + per_call);
    cpu_ns += used_ns;
    useful_ns += calls * own_ns_per_call;
    if (!attached) return;
    cost_ns += calls * per_call;
    entries += calls;
    returns += calls * returning;
    samples_taken += calls * samples;
    timed += calls * (1 + returning) / 64;
    timed_ns += calls * program / 64;
  }

  [[nodiscard]] TargetReading reading() const {
    auto whole = [](double value) { return static_cast<std::uint64_t>(value); };
    TargetReading now{.pid = pid, .hits = {}, .cpu_ns = whole(cpu_ns)};
    (stepped ? now.hits.stepped : now.hits.entries) = whole(entries);
    now.hits.returns = whole(returns);
    now.hits.timed = whole(timed);
    now.hits.samples = whole(samples_taken);
    // Of whole runs only, as the programs count them.
    now.hits.timed_ns = timed > 0 ? whole(timed_ns / timed * std::floor(timed)) : 0;
    return now;
  }
  [[nodiscard]] double percent() const { return cpu_ns > 0 ? 100 * cost_ns / cpu_ns : 0; }
};

/// Runs targets under a governor as a trace does: detaching takes effect late, and attaching again
/// has to wait until it is complete.
class Simulation {
 public:
  Simulation(const GovernorOptions& options, std::vector<SimulatedTarget> simulated)
      : governor(options), targets(std::move(simulated)) {
    governor.probes_changed(true, now(), 0);
    next_ns_ = now_ns_ + static_cast<double>(governor.first_look_ns());
  }

  void run_for(double wall_ns) {
    const double end_ns = now_ns_ + wall_ns;
    while (now_ns_ < end_ns) {
      run_targets(std::min(next_ns_, end_ns) - now_ns_);
      if (now_ns_ >= next_ns_) decide();
    }
  }

  Governor governor;
  std::vector<SimulatedTarget> targets;
  std::vector<double> windows_ns, blinds_ns;
  std::uint32_t switches = 0;

 private:
  static constexpr double kTick = kMillisecond;
  static constexpr double kAttachTakes = 2 * kMillisecond;
  static constexpr double kDetachTakesEffect = 3 * kMillisecond;
  static constexpr double kDetachTakes = 80 * kMillisecond;

  [[nodiscard]] std::uint64_t now() const { return static_cast<std::uint64_t>(now_ns_); }

  void run_targets(double wall_ns) {
    while (wall_ns > 0) {
      const double tick = std::min(wall_ns, kTick);
      const bool probed = governor.attached() || now_ns_ < probed_until_ns_;
      for (SimulatedTarget& target : targets) {
        target.run(now_ns_, tick, probed, governor.step());
      }
      now_ns_ += tick;
      wall_ns -= tick;
    }
  }

  void decide() {
    std::vector<TargetReading> readings;
    for (const SimulatedTarget& target : targets) readings.push_back(target.reading());
    const GovernorPlan plan = governor.decide(now(), readings);
    ASSERT_GT(plan.next_ns, now());
    next_ns_ = static_cast<double>(plan.next_ns);
    if (plan.attached == governor.attached()) return;
    if (plan.attached && now_ns_ < detached_ns_) {
      next_ns_ = detached_ns_;
      return;
    }
    ++switches;
    (plan.attached ? blinds_ns : windows_ns).push_back(now_ns_ - changed_ns_);
    changed_ns_ = now_ns_;
    if (plan.attached) run_targets(kAttachTakes);
    governor.probes_changed(plan.attached, now(), static_cast<std::uint64_t>(kAttachTakes));
    if (plan.attached) {
      next_ns_ = now_ns_ + static_cast<double>(governor.first_look_ns());
    } else {
      probed_until_ns_ = now_ns_ + kDetachTakesEffect;
      detached_ns_ = now_ns_ + kDetachTakes;
    }
  }

  double now_ns_ = kSecond;
  double next_ns_ = 0;
  double changed_ns_ = kSecond;
  double probed_until_ns_ = 0;
  double detached_ns_ = 0;
};

GovernorOptions budget(double percent, bool may_widen = false) {
  return {.budget_percent = percent, .may_widen = may_widen, .costs = kCosts};
}

/// Does nothing but allocate, on all of a machine with two CPUs.
SimulatedTarget storm() {
  return {.threads = 2, .own_ns_per_call = 20};
}

/// A server: a call each 50 us of its own work.
SimulatedTarget server() {
  return {.threads = 1, .own_ns_per_call = 50'000};
}

TEST(Governor, NeverTouchesATargetThatIsCheapToTrace) {
  Simulation simulation(budget(10), {server()});
  simulation.run_for(60 * kSecond);
  EXPECT_EQ(simulation.switches, 0U);
  EXPECT_EQ(simulation.governor.blind_ns(61'000'000'000), 0U);
  EXPECT_LT(simulation.governor.percent_of_target_cpu(), 10);
  EXPECT_GT(simulation.governor.percent_of_target_cpu(), 5);
}

TEST(Governor, SaysWhatTracingCosts) {
  Simulation simulation(budget(0), {server(), storm()});
  simulation.targets[1].pid = 2;
  simulation.run_for(20 * kSecond);
  const auto& [one, other] = std::tie(simulation.targets[0], simulation.targets[1]);
  const double cost = one.cost_ns + other.cost_ns;
  EXPECT_NEAR(simulation.governor.percent_of_target_cpu(), 100 * cost / (one.cpu_ns + other.cpu_ns),
              1);
  EXPECT_NEAR(simulation.governor.nanoseconds_per_hit(),
              cost / (one.entries + one.returns + other.entries + other.returns), 50);
}

TEST(Governor, WithoutABudgetNothingIsTakenAway) {
  Simulation simulation(budget(0, true), {storm()});
  simulation.run_for(10 * kSecond);
  EXPECT_EQ(simulation.switches, 0U);
  EXPECT_EQ(simulation.governor.step(), 0U);
}

class Budgets : public testing::TestWithParam<double> {};

TEST_P(Budgets, HoldAgainstAStormFromTheFirstSecondOn) {
  Simulation simulation(budget(GetParam()), {storm()});
  simulation.run_for(kSecond);
  // Before it has seen the target it has to watch it for 6 ms.
  EXPECT_LE(simulation.targets[0].percent(), std::max(1.1 * GetParam(), 0.61)) << "after a second";
  for (int i = 0; i < 60; ++i) {
    simulation.run_for(kSecond);
    EXPECT_LE(simulation.targets[0].percent(), 1.05 * GetParam()) << "after " << i + 2 << " s";
  }
  EXPECT_GE(simulation.targets[0].percent(), 0.6 * GetParam()) << "the budget is made use of";
}

TEST_P(Budgets, HoldForATargetWhoseTrapsAreDear) {
  SimulatedTarget target = storm();
  target.stepped = true;
  target.own_ns_per_call = 3000;
  Simulation simulation(budget(GetParam(), true), {target});
  simulation.run_for(60 * kSecond);
  EXPECT_LE(simulation.targets[0].percent(), 1.02 * GetParam());
  EXPECT_GE(simulation.targets[0].percent(), 0.5 * GetParam());
}

TEST_P(Budgets, HoldForBursts) {
  SimulatedTarget target = storm();
  target.activity = [](double now_ns) { return std::fmod(now_ns, 3e9) < 0.7e9 ? 1.0 : 0.001; };
  Simulation simulation(budget(GetParam()), {target});
  simulation.run_for(120 * kSecond);
  EXPECT_LE(simulation.targets[0].percent(), 1.05 * GetParam());
}

TEST_P(Budgets, HoldForASuddenStorm) {
  SimulatedTarget target = storm();
  target.activity = [](double now_ns) { return now_ns < 31e9 ? 0.01 : 1.0; };
  Simulation simulation(budget(GetParam()), {target});
  simulation.run_for(31 * kSecond);
  simulation.run_for(60 * kSecond);
  EXPECT_LE(simulation.targets[0].percent(), 1.05 * GetParam());
}

TEST_P(Budgets, HoldForEachOfManyTargets) {
  std::vector<SimulatedTarget> targets;
  for (pid_t pid = 1; pid <= 50; ++pid) {
    SimulatedTarget target = pid == 7 ? storm() : server();
    target.threads = 0.02 * pid;
    target.pid = pid;
    targets.push_back(target);
  }
  Simulation simulation(budget(GetParam()), targets);
  simulation.run_for(60 * kSecond);
  for (const SimulatedTarget& target : simulation.targets) {
    EXPECT_LE(target.percent(), 1.05 * GetParam()) << target.pid;
  }
}

INSTANTIATE_TEST_SUITE_P(Percent, Budgets, testing::Values(0.5, 1.0, 5.0, 20.0));

TEST(Governor, WindowsAndBlindTimesAreLongEnoughAndIrregular) {
  Simulation simulation(budget(5), {storm()});
  simulation.run_for(120 * kSecond);
  auto& windows = simulation.windows_ns;
  auto& blinds = simulation.blinds_ns;
  ASSERT_GE(blinds.size(), 10U);
  // Those after the first few, with which it learns.
  windows.erase(windows.begin(), windows.begin() + 3);
  blinds.erase(blinds.begin(), blinds.begin() + 3);
  EXPECT_GE(*std::ranges::min_element(windows), 15 * kMillisecond);
  EXPECT_LE(*std::ranges::max_element(windows), 3 * kSecond);
  EXPECT_LE(*std::ranges::max_element(blinds), 12 * kSecond);
  EXPECT_GE(*std::ranges::max_element(blinds), 1.2 * *std::ranges::min_element(blinds));
}

TEST(Governor, WidensTheIntervalBeforeItTakesProbesAwayForLong) {
  // Its samples are dear, its traps are not.
  SimulatedTarget target = server();
  target.calls_return = false;
  target.long_program = 40'000;
  Simulation simulation(budget(5, true), {target});
  simulation.run_for(20 * kSecond);
  EXPECT_GT(simulation.governor.step(), 2U);
  const std::uint64_t blind_before = simulation.governor.blind_ns(21'000'000'000);
  simulation.run_for(40 * kSecond);
  EXPECT_EQ(simulation.governor.blind_ns(61'000'000'000), blind_before);
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

TEST(Governor, DoesNotWidenWhereThatSparesNothing) {
  SimulatedTarget target = server();
  target.own_ns_per_call = 5000;
  target.short_program = 1000;  // dear, whether it samples or not
  target.long_program = 0;
  Simulation simulation(budget(5, true), {target});
  simulation.run_for(25 * kSecond);
  EXPECT_EQ(simulation.governor.step(), 0U);
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

/// A server that allocates often and little, on a machine that others use too: what programs take
/// changes all the time, whatever the interval is, and few of them sample.
TEST(Governor, DoesNotWidenByChanceWhereFewBlocksAreSampled) {
  SimulatedTarget target = server();
  target.own_ns_per_call = 4000;
  target.calls_return = false;
  target.sampled = 0.0005;
  target.activity = [](double) { return 0.3; };
  target.slowness = [](double now_ns) {
    return 0.5 + std::fmod(std::floor(now_ns / 3e8) * 0.618, 1.0) * 2;
  };
  Simulation simulation(budget(5, true), {target});
  for (int i = 0; i < 600; ++i) {
    simulation.run_for(kSecond);
    ASSERT_EQ(simulation.governor.step(), 0U) << "after " << i << " s";
  }
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

/// The same, where every call must be watched until it returns because others are made within it.
TEST(Governor, DoesNotWidenWhereReturnsAreWatchedAnyway) {
  SimulatedTarget target = server();
  target.own_ns_per_call = 4000;
  target.sampled = 0.0005;
  Simulation simulation(budget(5, true), {target});
  simulation.run_for(120 * kSecond);
  EXPECT_EQ(simulation.governor.step(), 0U);
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

/// One that was widened when samples were what cost most is narrowed when they no longer are,
/// though the traps alone are over the budget.
TEST(Governor, NarrowsTheIntervalAgainWhereSamplesCostLittle) {
  SimulatedTarget target = server();
  target.calls_return = false;
  target.long_program = 40'000;
  Simulation simulation(budget(5, true), {target});
  simulation.run_for(20 * kSecond);
  ASSERT_GT(simulation.governor.step(), 2U);
  simulation.targets[0].own_ns_per_call = 2000;
  simulation.targets[0].sampled = 0.001;
  simulation.run_for(300 * kSecond);
  EXPECT_EQ(simulation.governor.step(), 0U);
  EXPECT_GT(simulation.switches, 0U);
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

TEST(Governor, AnExactTraceIsNeverSampled) {
  Simulation simulation(budget(1, false), {storm()});
  simulation.run_for(20 * kSecond);
  EXPECT_EQ(simulation.governor.step(), 0U);
  EXPECT_GT(simulation.switches, 0U);
}

TEST(Governor, NarrowsTheIntervalAgainWhenThereIsRoom) {
  SimulatedTarget target = server();
  target.calls_return = false;
  target.long_program = 40'000;
  target.activity = [](double now_ns) { return now_ns < 20e9 ? 1.0 : 0.2; };
  Simulation simulation(budget(5, true), {target});
  simulation.run_for(19 * kSecond);
  const std::uint32_t widest = simulation.governor.step();
  ASSERT_GT(widest, 0U);
  simulation.targets[0].long_program = 2000;
  simulation.run_for(120 * kSecond);
  EXPECT_LT(simulation.governor.step(), widest);
  EXPECT_LE(simulation.targets[0].percent(), 5.1);
}

TEST(Governor, ObservesAgainWithoutAPauseWhenTheStormIsOver) {
  SimulatedTarget target = storm();
  target.activity = [](double now_ns) { return now_ns < 21e9 ? 1.0 : 0.5; };
  Simulation simulation(budget(5), {target});
  simulation.run_for(20 * kSecond);
  ASSERT_GT(simulation.switches, 2U);
  simulation.targets[0].own_ns_per_call = 1e6;
  simulation.run_for(10 * kSecond);
  const std::uint32_t switches = simulation.switches;
  simulation.run_for(60 * kSecond);
  EXPECT_TRUE(simulation.governor.attached());
  EXPECT_LE(simulation.switches, switches + 1);
}

TEST(Governor, ATargetThatIsIdleLosesNothing) {
  SimulatedTarget target = server();
  target.activity = [](double) { return 0.0; };
  Simulation simulation(budget(1), {target});
  simulation.run_for(30 * kSecond);
  EXPECT_EQ(simulation.switches, 0U);
  EXPECT_EQ(simulation.governor.percent_of_target_cpu(), 0);
}

/// Its own CPU time would pay for a part of the time only.
TEST(Governor, ATargetThatWaitsIsAllowedWhatATenthOfACpuWouldBe) {
  SimulatedTarget target = server();
  target.own_ns_per_call = 30'000;
  target.activity = [](double) { return 0.01; };
  Simulation simulation(budget(2), {target});
  simulation.run_for(60 * kSecond);
  EXPECT_EQ(simulation.governor.blind_ns(61'000'000'000), 0U);
  EXPECT_GT(simulation.targets[0].percent(), 2);
  EXPECT_LT(simulation.targets[0].cost_ns, 0.02 * 0.1 * 60 * kSecond);
}

TEST(Governor, TheEndOfTheTargetThatWasOverItsBudgetEndsThePause) {
  SimulatedTarget other = server();
  other.pid = 2;
  Simulation simulation(budget(10), {storm(), other});
  simulation.run_for(5 * kSecond);
  ASSERT_GT(simulation.switches, 0U);
  simulation.targets.erase(simulation.targets.begin());
  simulation.governor.forget(1);
  simulation.run_for(kSecond);
  EXPECT_TRUE(simulation.governor.attached());
  const std::uint32_t switches = simulation.switches;
  simulation.run_for(30 * kSecond);
  EXPECT_EQ(simulation.switches, switches);
}

TEST(Governor, NothingToTraceIsNoReasonToDoAnything) {
  Governor governor(budget(5));
  const GovernorPlan plan = governor.decide(1000, {});
  EXPECT_TRUE(plan.attached);
  EXPECT_GT(plan.next_ns, 1000U);
  EXPECT_EQ(governor.nanoseconds_per_hit(), 0);
  EXPECT_EQ(governor.percent_of_target_cpu(), 0);
}

}  // namespace
}  // namespace leaktrace::tracer
