// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "user/base/result.h"

namespace leaktrace::tests {

/// A real program at work, and which of its calls are looked at.
struct Workload {
  std::string name;
  std::vector<std::string> command;   ///< runs until it is ended by SIGTERM, or to its end
  std::vector<std::string> programs;  ///< file names of the executables whose calls count; all: {}
  std::string library;                ///< the file that holds the functions; empty: the executable
  std::vector<std::string> functions;
  uint32_t one_in = 1;  ///< of how many calls one is taken
};

/// The workloads that ship with the tests (tests/bpf/oracle/workloads/NAME.sh).
[[nodiscard]] std::vector<std::string> workload_names();

/// A workload by its name. Fails, and says what is missing, when a program of it is not installed.
[[nodiscard]] Result<Workload> find_workload(const std::string& name);

/// This machine's C library, which holds malloc.
[[nodiscard]] std::string path_of_libc();

}  // namespace leaktrace::tests
