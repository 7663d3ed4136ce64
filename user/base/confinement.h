// SPDX-License-Identifier: Apache-2.0
// Giving up what a process does not need any more. All of it holds for the calling thread, for the
// threads that it starts and for the processes that it forks from then on; it cannot be taken back.
#pragma once

#include <cstdint>

#include "user/base/result.h"

namespace leaktrace {

/// Bit n is capability n of linux/capability.h.
using CapabilityMask = std::uint64_t;

/// What this thread may use at once (its permitted set).
[[nodiscard]] Result<CapabilityMask> permitted_capabilities();

/// Makes these, where they are permitted, the only ones that take effect. Can be taken back.
[[nodiscard]] Result<void> set_effective_capabilities(CapabilityMask effective);

/// Keeps of the permitted capabilities those in `kept`: in the permitted and the effective set. The
/// inheritable and the ambient set are empty then, as is the bounding set where CAP_SETPCAP allows
/// that; and no program that is executed gains a privilege (no_new_privs). The caller must be the
/// only thread, for the others would keep theirs.
[[nodiscard]] Result<void> keep_only_capabilities(CapabilityMask kept);

/// No other process of this user may look into this one's memory (ptrace, /proc/PID/mem), and it
/// dumps no core. Its own /proc/self can still be read: the kernel lets a process look at itself.
[[nodiscard]] Result<void> hide_memory();

/// A seccomp filter that refuses, with EPERM, what no tracer needs: executing programs, loading
/// modules and kernels, mounts, other namespaces and users, clocks, rebooting, io_uring (which no
/// filter sees), and writing into another process (ptrace's POKE and SETREGS, process_vm_writev).
/// Opening files for writing cannot be told apart by a filter. Takes no_new_privs.
[[nodiscard]] Result<void> refuse_foreign_system_calls();

}  // namespace leaktrace
