// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/features.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <set>

#include "user/tracer/feature_trial.h"

namespace leaktrace::tracer {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using State = Finding::State;

TEST(Lockdown, TheModeIsTheWordInBrackets) {
  EXPECT_EQ(parse_lockdown_mode("[none] integrity confidentiality\n"), "none");
  EXPECT_EQ(parse_lockdown_mode("none integrity [confidentiality]\n"), "confidentiality");
  EXPECT_EQ(parse_lockdown_mode("none integrity"), "");
  EXPECT_EQ(parse_lockdown_mode("] none ["), "");
  EXPECT_EQ(parse_lockdown_mode(""), "");
}

TEST(FailedTrial, ForWantOfCapabilitiesItIsUnknownAndNamesThem) {
  const auto trial = failed_trial({}, "loading", EPERM);
  EXPECT_EQ(trial.state, State::unknown);
  EXPECT_THAT(trial.detail, HasSubstr("CAP_BPF and CAP_PERFMON"));
}

TEST(FailedTrial, CapabilitiesThatBpfDoesNotTakeAreNoExcuse) {
  TrialContext context;
  context.capabilities.effective = CapabilitySet(std::uint64_t{3} << 38);
  EXPECT_EQ(failed_trial(context, "loading", EPERM).state, State::no);
}

TEST(FailedTrial, RefusedWithAllCapabilitiesItIsNo) {
  TrialContext context;
  context.capabilities.effective = CapabilitySet(~std::uint64_t{0});
  const auto trial = failed_trial(context, "loading", EPERM);
  EXPECT_EQ(trial.state, State::no);
  EXPECT_THAT(trial.detail, HasSubstr("seccomp"));
}

TEST(FailedTrial, InAUserNamespaceCapabilitiesSayNothing) {
  TrialContext context;
  context.capabilities.effective = CapabilitySet(~std::uint64_t{0});
  context.capabilities.initial_user_namespace = false;
  EXPECT_EQ(failed_trial(context, "loading", EPERM).state, State::unknown);
}

TEST(FailedTrial, WhatTheKernelDoesNotKnowIsNo) {
  EXPECT_EQ(failed_trial({}, "attaching", EINVAL).state, State::no);
}

TEST(Features, CanTraceWhenAllThatIsRequiredIsThere) {
  Features features;
  features.findings = {{"a", "", State::yes, true, "", ""}, {"b", "", State::no, false, "", ""}};
  EXPECT_TRUE(features.can_trace());
  features.findings.push_back({"c", "", State::unknown, true, "", ""});
  EXPECT_FALSE(features.can_trace());
  ASSERT_NE(features.find("b"), nullptr);
  EXPECT_EQ(features.find("b")->state, State::no);
  EXPECT_EQ(features.find("d"), nullptr);
}

/// Probes in a child that has given up root, and passes out "id state\n" lines.
std::string probe_as_nobody() {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
    std::string lines;
    for (const auto& finding : probe_features().findings)
      lines += finding.id + (finding.state == State::yes  ? " yes\n"
                             : finding.state == State::no ? " no\n"
                                                          : " unknown\n");
    const auto written = ::write(ends[1], lines.data(), lines.size());
    ::_exit(written == static_cast<ssize_t>(lines.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string lines;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof(buffer))) > 0;)
    lines.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return lines;
}

TEST(ProbeFeatures, WithoutPrivilegesItSaysWhatCouldNotBeTried) {
  const auto lines = probe_as_nobody();
  EXPECT_THAT(lines, HasSubstr("bpf_load unknown\n"));
  EXPECT_THAT(lines, HasSubstr("uprobe unknown\n"));
  EXPECT_THAT(lines, HasSubstr("process_tracepoints unknown\n"));
  EXPECT_THAT(lines, HasSubstr("initial_pid_namespace unknown\n"));
  EXPECT_THAT(lines, HasSubstr("btf yes\n"));
}

int open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  int count = 0;
  while (folder && ::readdir(folder.get()) != nullptr) ++count;
  return count;
}

TEST(ProbeFeatures, LeavesNoDescriptorAndNoChildAndNamesEachCheckOnce) {
  const int before = open_descriptors();
  const auto features = probe_features();
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);

  std::set<std::string> ids;
  for (const auto& finding : features.findings) {
    EXPECT_TRUE(ids.insert(finding.id).second) << finding.id;
    EXPECT_THAT(finding.title, Not(IsEmpty())) << finding.id;
    if (finding.state == State::yes) {
      EXPECT_THAT(finding.consequence, IsEmpty()) << finding.id;
    } else {
      EXPECT_THAT(finding.detail, Not(IsEmpty())) << finding.id;
    }
  }
}

}  // namespace
}  // namespace leaktrace::tracer
