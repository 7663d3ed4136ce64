// SPDX-License-Identifier: Apache-2.0
// The thread of OverheadControl. It must never wait for anything that a reader of output, a disk or
// a target can hold up: it writes no message.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "user/app/overhead_control.h"
#include "user/app/signals.h"
#include "user/base/clock.h"
#include "user/base/file.h"

namespace leaktrace::app {
namespace {

using tracer::KeeperOrder;
using tracer::WindowState;

/// Between two beats for the keeper, at most.
constexpr int kBeatMilliseconds = 200;
/// How long a stop waits for the probes to go; the keeper's switch is there for what is left.
constexpr std::uint64_t kMostStopWait = 3'000'000'000;

bool is_readable(const UniqueFd& fd) {
  pollfd poll{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return fd && ::poll(&poll, 1, 0) > 0;
}

void drain(const UniqueFd& fd) {
  std::array<char, 4096> bytes{};
  while (::read(fd.get(), bytes.data(), bytes.size()) > 0) {
  }
}

}  // namespace

// Of the calling thread alone: Linux has it so.
Precedence::Precedence(bool wanted) {
  constexpr int kHighest = -20;
  const int before = ::getpriority(PRIO_PROCESS, 0);
  if (wanted && ::setpriority(PRIO_PROCESS, 0, kHighest) == 0) before_ = before;
}

Precedence::~Precedence() {
  if (before_) ::setpriority(PRIO_PROCESS, 0, *before_);
}

Result<OverheadControl::Descriptors> OverheadControl::open_descriptors() {
  Descriptors made;
  made.timer = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!made.timer) return fail(describe_errno("cannot make a timer", errno));
  made.event = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  made.end = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made.event || !made.end) return fail(describe_errno("cannot make an event", errno));
  auto stops = take_stops();
  if (!stops) return stops.unexpected();
  made.stops = std::move(*stops);
  return made;
}

void OverheadControl::control() {
  ::prctl(PR_SET_NAME, "governor");
  const Precedence precedence(options_.budget_percent.has_value());
  while (!is_readable(end_)) {
    keeper_.order(KeeperOrder::beat);
    std::array<pollfd, 4> fds = {pollfd{.fd = timer_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = end_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = keeper_.changes_fd(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = stops_.get(), .events = POLLIN, .revents = 0}};
    ::poll(fds.data(), fds.size(), kBeatMilliseconds);
    if (fds[2].revents != 0) {
      const std::scoped_lock lock(mutex_);
      keeper_is_gone_ = !keeper_.take_changes();
      see_window();
      if (keeper_is_gone_) return wake_main_loop();
    }
    if (is_readable(stops_)) suspend();
    if (is_readable(timer_)) {
      drain(timer_);
      const std::scoped_lock lock(mutex_);
      decide();
    }
  }
}

void OverheadControl::decide() {
  if (phase_ == Phase::before || stopped_ns_) return;
  const std::uint64_t now_ns = monotonic_ns();
  const tracer::GovernorPlan plan = governor_.decide(now_ns, read(*tracer_));
  if (options_.sampling_base > 0) tracer_->set_sampling_step(plan.step);
  if (!plan.attached && phase_ == Phase::open) {
    close_window(now_ns);
    keeper_.order(KeeperOrder::close_window);
  } else if (plan.attached && phase_ == Phase::told) {
    phase_ = Phase::opening;
    wake_main_loop();
  }
  arm(plan.next_ns);
}

void OverheadControl::close_window(std::uint64_t now_ns) {
  if (phase_ != Phase::open) return;
  phase_ = Phase::closing;
  governor_.probes_changed(false, now_ns, 0);
}

// The keeper's window is closed: as it was told, or of itself.
void OverheadControl::see_window() {
  const tracer::KeeperState& state = keeper_.state();
  if (phase_ != Phase::open && phase_ != Phase::closing) return;
  if (state.window != WindowState::closed) return;
  close_window(state.closed_ns);
  governor_.probes_gone(state.closed_ns);
  window_to_ns_ = state.closed_ns;
  phase_ = Phase::closed;
  if (state.closed_by_switch) {
    absence_ = Absence{.from_ns = state.closed_ns, .to_ns = 0, .by_switch = true};
    keeper_.order(KeeperOrder::release_window);
  }
  wake_main_loop();
}

void OverheadControl::suspend() {
  keeper_.order(KeeperOrder::hold_window);
  const std::uint64_t asked_ns = monotonic_ns();
  {
    const std::scoped_lock lock(mutex_);
    close_window(asked_ns);
  }
  while (keeper_.state().window != WindowState::closed &&
         monotonic_ns() - asked_ns < kMostStopWait) {
    pollfd changes{.fd = keeper_.changes_fd(), .events = POLLIN, .revents = 0};
    ::poll(&changes, 1, kBeatMilliseconds);
    if (!keeper_.take_changes()) return;
  }
  drain(stops_);
  stop_here();
  keeper_.order(KeeperOrder::release_window);
  const std::scoped_lock lock(mutex_);
  see_window();
  if (!absence_) absence_ = Absence{.from_ns = asked_ns, .to_ns = 0, .by_switch = false};
  arm(monotonic_ns());
}

}  // namespace leaktrace::app
