// SPDX-License-Identifier: Apache-2.0
// What the probe finds against what is known of kernels. leaktrace itself never looks at the
// version; here it is the independent witness. Backports could make an older kernel say yes, so
// below the version only what has been seen on Debian's kernels is expected.
#include <gmock/gmock.h>
#include <sys/utsname.h>

#include <chrono>
#include <cstdio>

#include "user/tracer/features.h"
#include "user/tracer/hazard_trial.h"

namespace leaktrace::tracer {
namespace {

using State = Finding::State;

struct Version {
  int major = 0;
  int minor = 0;
  auto operator<=>(const Version&) const = default;
};

Version running_kernel() {
  utsname name{};
  Version version;
  if (::uname(&name) != 0 ||
      std::sscanf(name.release, "%d.%d", &version.major, &version.minor) != 2)
    ADD_FAILURE() << "no kernel version";
  return version;
}

class FeatureProbe : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto start = std::chrono::steady_clock::now();
    features_ = new Features(probe_features());
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (const auto& finding : features_->findings)
      std::printf("  %-8s %-24s %s\n",
                  finding.state == State::yes  ? "yes"
                  : finding.state == State::no ? "no"
                                               : "unknown",
                  finding.id.c_str(), finding.detail.c_str());
    std::printf("  in %.2f s\n", seconds_);
  }
  static void TearDownTestSuite() { delete features_; }

  static State state_of(std::string_view id) {
    const auto* finding = features_->find(id);
    if (finding != nullptr) return finding->state;
    ADD_FAILURE() << "no finding " << id;
    return State::unknown;
  }

  static Features* features_;
  static double seconds_;
};
Features* FeatureProbe::features_ = nullptr;
double FeatureProbe::seconds_ = 0;

TEST_F(FeatureProbe, EveryKernelThatIsSupportedCanTrace) {
  EXPECT_TRUE(features_->can_trace());
  for (const auto& finding : features_->findings) {
    if (!finding.required) continue;
    EXPECT_EQ(finding.state, State::yes) << finding.id << ": " << finding.detail;
  }
}

TEST_F(FeatureProbe, FlagsSayWhatTheFindingsSay) {
  EXPECT_EQ(features_->uprobe_multi, state_of("uprobe_multi") == State::yes);
  EXPECT_EQ(features_->uprobe_multi_pid, state_of("uprobe_multi_pid") == State::yes);
  EXPECT_EQ(features_->uprobe_session, state_of("uprobe_session") == State::yes);
  EXPECT_EQ(features_->hold, state_of("hold") == State::yes);
  EXPECT_EQ(features_->map_files, state_of("map_files") == State::yes);
}

struct Known {
  const char* id;
  Version since;
};

TEST_F(FeatureProbe, AgreesWithWhatIsKnownOfThisKernel) {
  constexpr Known kKnown[] = {
      {"attach_cookie", {5, 15}},      {"bpf_loop", {5, 17}},
      {"uprobe_multi", {6, 6}},        {"uprobe_multi_return", {6, 6}},
      {"uprobe_multi_cookie", {6, 6}}, {"uprobe_multi_pid", {6, 10}},
      {"uprobe_session", {6, 13}},
  };
  const auto kernel = running_kernel();
  for (const auto& known : kKnown)
    EXPECT_EQ(state_of(known.id), kernel >= known.since ? State::yes : State::no) << known.id;
}

TEST_F(FeatureProbe, AChildCanBeFollowedAndHeldAtExec) {
  EXPECT_EQ(state_of("process_tracepoints"), State::yes);
  EXPECT_EQ(state_of("hold"), State::yes);
}

// No kernel puts the return address back for an unwinder.
TEST_F(FeatureProbe, ReturnTrampolinesHarmWhatDoesNotReturn) {
  for (const char* hazard : {"exception", "forced_unwind", "cancellation", "fiber", "backtrace"}) {
    const std::string id = std::string("uretprobe_") + hazard;
    EXPECT_EQ(state_of(id), State::no) << id;
    const Finding* finding = features_->find(id);
    ASSERT_NE(finding, nullptr);
    EXPECT_FALSE(finding->required) << id;
    EXPECT_FALSE(finding->consequence.empty()) << id;
  }
}

TEST_F(FeatureProbe, ProbesOnReturnInstructionsHarmNothing) {
  for (const char* hazard :
       {"exception", "forced_unwind", "cancellation", "fiber", "backtrace", "seccomp"}) {
    const std::string id = std::string("own_return_") + hazard;
    EXPECT_EQ(state_of(id), State::yes) << id;
  }
  // Few machines have shadow stacks.
  EXPECT_NE(state_of("own_return_shadow_stack"), State::no);
}

TEST_F(FeatureProbe, TheAnswerForATraceIsThatOfTheTrials) {
  const bool harmless = state_of("uretprobe_seccomp") == State::yes &&
                        state_of("uretprobe_shadow_stack") != State::no;
  EXPECT_EQ(objection_to_trampolines().empty(), harmless) << objection_to_trampolines();
  EXPECT_EQ(objection_to_own_returns(), "");
}

TEST_F(FeatureProbe, ASecondProbeFindsTheSame) {
  const auto again = probe_features();
  ASSERT_EQ(again.findings.size(), features_->findings.size());
  for (std::size_t i = 0; i < again.findings.size(); ++i)
    EXPECT_EQ(again.findings[i].state, features_->findings[i].state) << again.findings[i].id;
}

}  // namespace
}  // namespace leaktrace::tracer
