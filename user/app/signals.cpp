// SPDX-License-Identifier: Apache-2.0
#include "user/app/signals.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "user/base/file.h"

namespace leaktrace::app {
namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTSTP);
  return signals;
}

}  // namespace

Result<UniqueFd> take_stops() {
  struct sigaction action {};
  if (::sigaction(SIGTSTP, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
    return UniqueFd();
  const sigset_t signals = stop_signals();
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) {
    return fail(describe_errno("cannot take signals", errno));
  }
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail(describe_errno("cannot read signals", errno));
  return fd;
}

void take_stops_no_more() {
  const sigset_t signals = stop_signals();
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

// To this thread: it does not go on before the process is continued. Not SIGTSTP, which does
// nothing where no shell waits for the process.
void stop_here() {
  ::raise(SIGSTOP);
}

Result<SignalReader> SignalReader::create() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : std::array{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&signals, signal);
  }
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) {
    return fail(describe_errno("cannot take signals", errno));
  }
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail(describe_errno("cannot read signals", errno));
  return SignalReader(std::move(fd));
}

std::optional<signalfd_siginfo> SignalReader::next() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) {
    return std::nullopt;
  }
  return info;
}

}  // namespace leaktrace::app
