// SPDX-License-Identifier: Apache-2.0
//
// Does the budget hold, whatever the target does, and does nobody come to harm by probes that come
// and go? What tracing costs is what leaktrace itself counted, not what a clock says: these tests
// time nothing.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;

constexpr const char* kThreads = "64";
/// Long enough for several windows and what pays for them, also on a machine that is busy
/// otherwise.
constexpr const char* kTracedFor = "12";
constexpr Seconds kLimit{120};

double percent(const Report& report) {
  return report.json().at("overhead").at("percent_of_target_cpu");
}

/// What all had cost when probes were last attached again, as leaktrace says it. A window is paid
/// for before it begins, so this holds however late a busy machine lets leaktrace end one.
double percent_when_paid(Attached& attached) {
  const std::string said = attached.process().err();
  const std::size_t again = said.rfind("probes attached again");
  if (again == std::string::npos) return 100;
  const std::string words = ": tracing took ";
  const std::size_t at = said.find(words, again);
  return at == std::string::npos ? 100 : std::stod(said.substr(at + words.size()));
}
double duty(const Report& report) {
  return report.json().at("mode").at("duty_percent");
}

/// How often leaktrace says that it did something with its probes.
std::size_t times(Attached& attached, const std::string& words) {
  const std::string said = attached.process().err();
  std::size_t count = 0;
  for (std::size_t at = said.find(words); at != std::string::npos; at = said.find(words, at + 1)) {
    ++count;
  }
  return count;
}
bool has_paused(Attached& attached) {
  return times(attached, "probes taken away") > 0;
}

/// Waits until probes have come back so often: only then is all paid for that tracing had cost.
bool wait_for_windows(Attached& attached, std::size_t windows) {
  return wait_until([&] { return times(attached, "probes attached again") >= windows; }, kLimit);
}

class Budget : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    storm_ =
        std::make_unique<Process>(std::vector<std::string>{testprog("malloc_storm"), kThreads});
    ASSERT_TRUE(storm_->wait_for_line("ready"));
  }

  /// It went on all the time, in every thread, and ends well.
  void expect_storm_unharmed() {
    ASSERT_TRUE(storm_->running());
    storm_->signal(SIGTERM);
    ASSERT_TRUE(storm_->wait_for_line("least", kLimit));
    EXPECT_EQ(storm_->wait(kLimit).status, 0);
    EXPECT_THAT(storm_->out(), testing::Not(testing::HasSubstr("least 0\n")));
  }

  std::unique_ptr<Process> storm_;
};

class BudgetOf : public Budget, public testing::WithParamInterface<const char*> {};

TEST_P(BudgetOf, HoldsAgainstThreadsThatDoNothingElse) {
  const TargetMemory memory(storm_->pid());
  const std::string code = memory.code();
  Attached attached({storm_->pid()}, {"--budget", GetParam()});
  ASSERT_TRUE(wait_for_windows(attached, 1));
  EXPECT_LE(percent_when_paid(attached), std::stod(GetParam()));
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(memory.code(), code) << "probes are left";

  EXPECT_EQ(report.json().at("mode").at("budget_percent"), std::stod(GetParam()));
  EXPECT_GT(percent(report), 0);
  EXPECT_LT(duty(report), 100);
  EXPECT_GT(duty(report), 0);
  EXPECT_GT(report.json().at("overhead").at("probe_hits"), 0);
  EXPECT_GT(report.json().at("overhead").at("nanoseconds_per_hit"), 50);
  expect_storm_unharmed();
}

INSTANTIATE_TEST_SUITE_P(Percent, BudgetOf, testing::Values("5", "1"),
                         [](const auto& of) { return std::string("Is") + of.param; });

/// Each block lives for less than a microsecond: of those that were acquired, at most what each
/// thread had in its hands when a window ended may look outstanding.
TEST_F(Budget, BlocksReleasedUnseenAreNoLeak) {
  Attached attached({storm_->pid()},
                    {"--budget", "5", "--sample-bytes", "exact", "--duration", kTracedFor});
  const Report report = attached.wait(kLimit);
  EXPECT_LT(duty(report), 100);
  const Amount acquired = report.acquired("allocate_briefly");
  const Amount outstanding = report.outstanding_at_all();
  EXPECT_LE(outstanding.count, 64U * 20U);
  EXPECT_LE(outstanding.count * 20, acquired.count + 64U * 20U);
  expect_storm_unharmed();
}

TEST_F(Budget, IsThatOfEachOfSeveralTargets) {
  Process leaker({testprog("steady_leak")});
  Attached attached({storm_->pid(), leaker.pid()}, {"--budget", "5", "--sample-bytes", "exact"});
  ASSERT_TRUE(wait_for_windows(attached, 2));
  EXPECT_LE(percent_when_paid(attached), 5);
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.json().at("target").size(), 2U);
  EXPECT_TRUE(leaker.running());
  expect_storm_unharmed();
}

TEST_F(Budget, TheEndOfTheTargetIsSeenWhileNoProbesAreAttached) {
  Attached attached({storm_->pid()}, {"--budget", "1"});
  ASSERT_TRUE(wait_until([&] { return has_paused(attached); }, kLimit));
  storm_->signal(SIGTERM);
  const Report report = attached.wait(kLimit);
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.json().at("target").at(0).at("exited"), true);
  EXPECT_LT(duty(report), 100);
  EXPECT_EQ(storm_->wait(kLimit).status, 0);
}

TEST_F(Budget, InterruptedWhileNoProbesAreAttachedItReportsAsEver) {
  const TargetMemory memory(storm_->pid());
  const std::string code = memory.code();
  Attached attached({storm_->pid()}, {"--budget", "1"});
  ASSERT_TRUE(wait_until([&] { return has_paused(attached); }, kLimit));
  // It says so when it begins to take them away; such a pause lasts for seconds.
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.json().at("final"), true);
  EXPECT_LT(duty(report), 100);
  EXPECT_EQ(memory.code(), code) << "probes are left";
  expect_storm_unharmed();
}

TEST_F(Budget, AnotherTracerOfTheSameFunctionsIsNoHindrance) {
  Attached one({storm_->pid()}, {"--budget", "5"});
  Attached other({storm_->pid()}, {"--budget", "5"});
  ASSERT_TRUE(wait_for_windows(other, 2));
  EXPECT_LE(percent_when_paid(other), 5);
  other.stop();
  const std::size_t windows = times(one, "probes attached again");
  ASSERT_TRUE(wait_for_windows(one, windows + 1));
  EXPECT_LE(percent_when_paid(one), 5);
  one.stop();
  expect_storm_unharmed();
}

TEST_F(Budget, WithoutABudgetTheCostIsSaidAndNothingTakenAway) {
  Attached attached({storm_->pid()}, {"--budget", "off", "--duration", "2"});
  const Report report = attached.wait(kLimit);
  EXPECT_EQ(duty(report), 100);
  EXPECT_TRUE(report.json().at("mode").at("budget_percent").is_null());
  EXPECT_GT(percent(report), 10);
  EXPECT_GT(report.json().at("overhead").at("nanoseconds_per_hit"), 50);
  expect_storm_unharmed();
}

class BudgetMode : public Budget, public testing::WithParamInterface<const char*> {};

TEST_P(BudgetMode, ProbesOfEveryKindComeAndGo) {
  Attached attached({storm_->pid()}, {"--budget", "5", "--probe-mode", GetParam()});
  ASSERT_TRUE(wait_until(
      [&] { return attached.process().err().find("probes attached again") != std::string::npos; },
      kLimit));
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_LT(duty(report), 100);
  expect_storm_unharmed();
}

INSTANTIATE_TEST_SUITE_P(ProbeMode, BudgetMode, testing::Values("multi", "single"),
                         [](const auto& of) { return std::string(of.param); });

class BudgetOfCommand : public RuntimeTest {};

TEST_F(BudgetOfCommand, HoldsFromItsStartToItsEnd) {
  const TracedRun traced =
      run_traced({testprog("malloc_storm"), "8", "10"}, {"--budget", "5"}, kLimit);
  EXPECT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_GT(percent(report), 0);
  EXPECT_LT(duty(report), 100);
  EXPECT_EQ(report.json().at("target").at(0).at("exited"), true);
  EXPECT_THAT(traced.outcome.out, testing::Not(testing::HasSubstr("least 0\n")));
}

TEST_F(BudgetOfCommand, IsNotMadeUseOfWithoutNeed) {
  const TracedRun traced = run_traced({testprog("leak_mmap")}, {"--budget", "20"}, kLimit);
  EXPECT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_EQ(duty(traced.report()), 100);
}

}  // namespace
}  // namespace leaktrace::runtime
