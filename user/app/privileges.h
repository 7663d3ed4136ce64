// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "user/base/result.h"

namespace leaktrace::app {

/// Can this process trace? The error names what is missing, and how to get it: capabilities, BTF, a
/// /proc of its own pid namespace.
[[nodiscard]] Result<void> check_privileges();

/// What a command still needs privileges for once it has begun.
struct PrivilegeNeeds {
  bool traces = false;         ///< attaches to processes, now and later
  bool single_probes = false;  ///< by perf events: some kernels want CAP_SYS_ADMIN for them
  bool priority = false;       ///< takes precedence over others, to keep a budget
  bool signals = false;        ///< passes signals to processes that may be another user's
  std::string output;          ///< file that is given its name at the end; empty: none
};

/// Gives up all other privileges, for good: capabilities, new ones by executing a program, system
/// calls that no tracer needs, and being looked into by others. Before any thread is started, after
/// whatever shall keep its own (a command to be traced) has been forked, and after the output was
/// opened.
///
///   tracing  CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_CHECKPOINT_RESTORE;
///            CAP_SYS_ADMIN where the kernel wants it for probes, or it was given in their place
///   priority CAP_SYS_NICE where RLIMIT_NICE cannot be raised instead (CAP_SYS_RESOURCE)
///   signals  CAP_KILL
///   a file   CAP_DAC_READ_SEARCH to read; CAP_DAC_OVERRIDE (CAP_FOWNER where the folder is sticky)
///            where the output's folder is one that this user may not write to
[[nodiscard]] Result<void> give_up_privileges(const PrivilegeNeeds& needs);

}  // namespace leaktrace::app
