// SPDX-License-Identifier: Apache-2.0
#include "user/app/signals.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "user/base/file.h"

namespace leaktrace::app {

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
