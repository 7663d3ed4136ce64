// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <string>
#include <vector>

#include "tests/runtime/process.h"

namespace leaktrace::runtime {

/// A program that says "ready" and waits for SIGUSR1, works and says "done", and at SIGTERM says
/// what it counted and ends.
class WaitingProgram {
 public:
  WaitingProgram(std::vector<std::string> command, std::vector<std::string> environment);

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  void begin() { process_.signal(SIGUSR1); }
  void await_end();
  /// Ends it: what it said of itself, but for its process id.
  [[nodiscard]] std::string said();

 private:
  Process process_;
};

}  // namespace leaktrace::runtime
