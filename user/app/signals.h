// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <optional>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::app {

/// A descriptor that SIGTSTP (Ctrl-Z) can be read from; the signal stops this process no longer.
/// None where it is ignored. For threads that begin from now on, too.
[[nodiscard]] Result<UniqueFd> take_stops();
/// It stops this process again, at once where it has come already.
void take_stops_no_more();
/// Stops the process, until it is continued.
void stop_here();

/// Takes the signals that end a trace, are passed on to a started command, or tell of children, out
/// of their usual course and makes them readable.
class SignalReader {
 public:
  /// Blocks them for this process; a child that is forked later must unblock them.
  [[nodiscard]] static Result<SignalReader> create();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The next signal that waits.
  [[nodiscard]] std::optional<signalfd_siginfo> next();

 private:
  explicit SignalReader(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace leaktrace::app
