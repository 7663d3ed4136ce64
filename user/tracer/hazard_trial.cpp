// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/hazard_trial.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>

#include "user/base/log.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tracer {
namespace {

using State = Finding::State;

constexpr int kMostMilliseconds = 2000;

/// What the hazards are called in a message: "a probe does not survive …".
std::string_view name_of(Hazard hazard) {
  switch (hazard) {
    case Hazard::exception:
      return "an exception";
    case Hazard::forced_unwind:
      return "the end of a thread";
    case Hazard::cancellation:
      return "the cancellation of a thread";
    case Hazard::fiber:
      return "a switch of fibers";
    case Hazard::backtrace:
      return "a backtrace";
    case Hazard::seccomp:
      return "a seccomp filter";
    case Hazard::shadow_stack:
      return "a shadow stack";
  }
  return "";
}

bool ends_in_time(pid_t child) {
  const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!handle) return false;
  pollfd end{handle.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&end, 1, kMostMilliseconds);
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

/// The wait status of a child that met the hazard; nothing when there was none, or it did not end.
std::optional<int> sacrifice(ReturnProbe probe, Hazard hazard, std::uint64_t nonce) {
  const pid_t child = ::fork();
  if (child == 0) meet_hazard(probe, hazard, nonce);
  if (child < 0) return std::nullopt;
  const bool in_time = ends_in_time(child);
  if (!in_time) ::kill(child, SIGKILL);
  int status = 0;
  pid_t waited = 0;
  do {
    waited = ::waitpid(child, &status, 0);
  } while (waited < 0 && errno == EINTR);
  return in_time && waited == child ? std::optional(status) : std::nullopt;
}

Trial describe_absence(Hazard hazard) {
  switch (hazard) {
    case Hazard::shadow_stack:
      return {State::unknown, "this CPU or kernel has no shadow stacks for programs"};
    case Hazard::seccomp:
      return {State::unknown, "no child with a seccomp filter could be made"};
    default:
      return {State::unknown, "the child could not do it"};
  }
}

Trial describe_end(Hazard hazard, int status) {
  if (WIFSIGNALED(status)) {
    return {State::no, fmt::format("a child was killed by signal {}", WTERMSIG(status))};
  }
  switch (static_cast<HazardEnd>(WEXITSTATUS(status))) {
    case HazardEnd::well:
      return {State::yes, {}};
    case HazardEnd::absent:
      return describe_absence(hazard);
    case HazardEnd::no_handler:
      return {State::no, "a child's exception found no handler: the process ends"};
    case HazardEnd::no_unwinding:
      return {State::no, "destructors of a child's thread did not run"};
    case HazardEnd::elsewhere:
      return {State::no, "a child's call returned to the caller of another fiber"};
    case HazardEnd::cut:
      return {State::no, "a child's stack ended at the probed function"};
    case HazardEnd::wrong_result:
      break;
  }
  return {State::no, "a child got a wrong result"};
}

/// Returns that the probe must see: that of the call before the hazard, and the hazard's own where
/// it is no way out.
std::uint64_t returns_of(Hazard hazard) {
  const bool returns =
      hazard == Hazard::backtrace || hazard == Hazard::seccomp || hazard == Hazard::shadow_stack;
  return returns ? 2 : 1;
}

}  // namespace

// With a uprobe-multi link, or through perf_event_open where there are none.
Trial HazardTrial::attach(TrialContext& context, ReturnProbe probe, Probe& attached) {
  AttachOptions options;
  options.on_return = probe == ReturnProbe::trampoline;
  options.place = place_of_return_probe(probe);
  Skeleton& skeleton = attached.skeleton;
  skeleton = load_programs(context, {"count_return"}, kUprobeMulti);
  if (skeleton) attached.link = attach_multi(skeleton->progs.count_return, options);
  if (attached.link) return {State::yes, {}};
  skeleton = load_programs(context, {"count_return"}, kPerfEvent);
  if (!skeleton) return failed_trial(context, "loading the program", errno);
  attached.link = attach_single(skeleton->progs.count_return, options);
  return attached.link ? Trial{State::yes, {}} : failed_single_attach(context, errno);
}

Trial HazardTrial::run(TrialContext& context, ReturnProbe probe, Hazard hazard) {
  Probe& attached = probes_[static_cast<std::size_t>(probe)];
  if (!attached.link) {
    Trial trial = attach(context, probe, attached);
    if (trial.state != State::yes) return trial;
  }
  auto& seen = attached.skeleton->bss->hits;
  seen = 0;
  const auto status = sacrifice(probe, hazard, context.nonce);
  if (!status) return {State::unknown, "the child to try it on did not end in time"};
  Trial trial = describe_end(hazard, *status);
  if (trial.state == State::yes && seen != returns_of(hazard)) {
    return {State::no,
            fmt::format("attached, but {} of {} returns were seen", seen, returns_of(hazard))};
  }
  return trial;
}

void HazardTrial::detach_later(TrialContext& context) {
  for (Probe& probe : probes_) {
    if (probe.link) {
      tracer::detach_later(context, std::move(probe.link), std::move(probe.skeleton));
    }
  }
}

namespace {

/// The answer that a trace needs, and the probes of its trials, that go away meanwhile.
class KeptAnswer {
 public:
  KeptAnswer(ReturnProbe probe, std::span<const Hazard> hazards)
      : context_(begin_trials(nothing_)) {
    const QuietLibbpf quiet;
    const auto began = std::chrono::steady_clock::now();
    for (const Hazard hazard : hazards) {
      const Trial trial = trial_.run(context_, probe, hazard);
      if (trial.state == State::no) {
        objection_ = fmt::format("on this kernel it does not survive {} ({})", name_of(hazard),
                                 trial.detail);
        break;
      }
    }
    trial_.detach_later(context_);
    log::debug("tried what probes on returns do here, in {} ms: {}",
               std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::steady_clock::now() - began)
                   .count(),
               objection_.empty() ? "no harm" : objection_);
  }
  [[nodiscard]] const std::string& objection() const { return objection_; }

 private:
  Features nothing_;
  HazardTrial trial_;
  TrialContext context_;
  std::string objection_;
};

}  // namespace

const std::string& objection_to_trampolines() {
  static constexpr std::array kOfAnyProgram = {Hazard::seccomp, Hazard::shadow_stack};
  static const KeptAnswer kept(ReturnProbe::trampoline, kOfAnyProgram);
  return kept.objection();
}

const std::string& objection_to_own_returns() {
  static const KeptAnswer kept(ReturnProbe::own_instruction, kHazards);
  return kept.objection();
}

}  // namespace leaktrace::tracer
