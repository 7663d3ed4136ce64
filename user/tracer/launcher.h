// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

/// A child process that waits until it is told to exec a command. Standard streams, environment,
/// working directory, limits, privileges, and the signals that are ignored and blocked are the
/// command's as leaktrace was started with them: it is forked before any of that changes.
///
///   launch ─▶ (tracer: attach_before_exec) ─▶ release ─▶ exec, held by the tracer
///
/// The child is in leaktrace's process group, so the terminal's signals reach it as they would
/// without leaktrace.
class Launcher {
 public:
  [[nodiscard]] static Result<Launcher> launch(const std::vector<std::string>& command);
  Launcher(Launcher&&) = default;
  Launcher& operator=(Launcher&&) = default;
  /// A child that was never released is killed: it has run nothing.
  ~Launcher();

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Lets the child exec. An error when the command cannot be run (not found, not executable); the
  /// child has then ended. Returns when the child has execed, or was killed. `attend` is called
  /// meanwhile, time and again: the child may have to be let go on after a signal.
  [[nodiscard]] Result<void> release(const std::function<void()>& attend);

 private:
  Launcher(pid_t pid, UniqueFd go, UniqueFd failure, std::string command)
      : pid_(pid), go_(std::move(go)), failure_(std::move(failure)), command_(std::move(command)) {}

  pid_t pid_ = -1;
  UniqueFd go_;       ///< closing it without a byte ends the child
  UniqueFd failure_;  ///< errno of a failed exec; closed by a successful one
  std::string command_;
};

}  // namespace leaktrace::tracer
