// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace leaktrace::tests {

/// Runs a program and all that it starts until the program itself ends; what is left then is
/// killed. Each process is stopped (by ptrace) whenever its code may have changed:
///
///     started(pid)   a process that was forked, or its first stop after exec, before it runs on
///     mapped(pid)    the same moments, and each time that it has mapped code
///
/// Only system calls that map code stop a process (a seccomp filter picks them out), so it runs at
/// its own speed otherwise. Output is dropped. Returns the exit status, -1 when the program was
/// killed or did not start.
int run_traced(const std::vector<std::string>& command, const std::function<void(pid_t)>& started,
               const std::function<void(pid_t)>& mapped);

}  // namespace leaktrace::tests
