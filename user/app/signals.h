// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <optional>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::app {

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
