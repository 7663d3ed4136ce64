// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace leaktrace::tests {

/// Runs a program to its end, stopped (by ptrace) each time it has mapped code: `mapped` is then
/// called with its pid, and `started` once before its first instruction. Its output is dropped.
/// Returns the exit status, -1 when it was killed or did not start.
int run_traced(const std::vector<std::string>& command, const std::function<void(pid_t)>& started,
               const std::function<void(pid_t)>& mapped);

}  // namespace leaktrace::tests
