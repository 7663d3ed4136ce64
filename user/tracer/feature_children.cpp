// SPDX-License-Identifier: Apache-2.0
// Checks that need a process to experiment on: a child that is forked for it and ended after it.
// Between fork and exec the child only makes system calls, for other threads may hold locks.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "user/tracer/feature_programs.h"
#include "user/tracer/holds.h"
#include "user/tracer/launcher.h"

namespace leaktrace::tracer {
namespace {

/// waitpid over interruptions; nothing when the child is not ours to wait for.
std::optional<int> wait_for(pid_t child) {
  int status = 0;
  pid_t waited = 0;
  do {
    waited = ::waitpid(child, &status, 0);
  } while (waited < 0 && errno == EINTR);
  return waited == child ? std::optional(status) : std::nullopt;
}

/// A child that has executed this very program and is held before its first instruction, so that
/// nothing of the program runs twice. Killed and reaped at the end.
class HeldChild {
 public:
  HeldChild() : pid_(::fork()) {
    if (pid_ == 0) become_held();
    if (pid_ < 0) return;
    const auto status = wait_for(pid_);
    held_ = status && WIFSTOPPED(*status);
    if (!held_) pid_ = -1;
  }
  HeldChild(const HeldChild&) = delete;
  HeldChild& operator=(const HeldChild&) = delete;
  ~HeldChild() { end(); }

  [[nodiscard]] bool held() const { return held_; }

  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait_for(pid_);
    pid_ = -1;
  }

 private:
  [[noreturn]] static void become_held() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The kernel stops a traced process when it has executed a program.
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0)
      ::execl("/proc/self/exe", "leaktrace-feature-probe", static_cast<char*>(nullptr));
    ::_exit(1);
  }

  pid_t pid_;
  bool held_ = false;
};

const Trial kNotHeld{Finding::State::unknown,
                     "the child to try it on could not be held at exec: ptrace is not allowed"};

}  // namespace

Trial try_process_tracepoints(TrialContext& context) {
  const auto skeleton = load_programs(context, {"see_fork", "see_exec", "see_exit"});
  if (!skeleton) return failed_trial(context, "loading the programs", errno);
  if (const int error = feature_probe_bpf__attach(skeleton.get()); error != 0)
    return failed_trial(context, "attaching", -error);
  HeldChild child;
  const bool held = child.held();
  child.end();
  const auto& seen = *skeleton->bss;
  if (!held && seen.forks == 1) return kNotHeld;
  if (seen.forks == 1 && seen.execs == 1 && seen.exits >= 1) return {Finding::State::yes, {}};
  return {Finding::State::no, fmt::format("of one child were seen: {} forks, {} execs, {} exits",
                                          seen.forks, seen.execs, seen.exits)};
}

// As `leaktrace run` holds what it starts. The program is this very one, which runs nothing.
Trial try_hold(TrialContext&) {
  auto launched = Launcher::launch({"/proc/self/exe"});
  if (!launched) return {Finding::State::unknown, launched.error().what};
  Holds holds;
  if (auto taken = holds.take_before_exec(launched->pid()); !taken)
    return {Finding::State::no, taken.error().what};
  if (auto begun = launched->release([] {}); !begun)
    return {Finding::State::unknown, begun.error().what};
  const auto status = wait_for(launched->pid());
  const bool held = status && WIFSTOPPED(*status) && holds.on_stop(launched->pid(), *status);
  ::kill(launched->pid(), SIGKILL);
  if (status && !WIFEXITED(*status)) wait_for(launched->pid());
  if (held) return {Finding::State::yes, {}};
  return {Finding::State::no, "the child did not stop at its exec"};
}

}  // namespace leaktrace::tracer
