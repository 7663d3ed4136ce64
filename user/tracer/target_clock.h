// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace leaktrace::tracer {

/// CPU time that a process has used, in nanoseconds: all its threads, those that have ended too, in
/// user space and in the kernel. 0 when the process is gone; of one that has ended but was not
/// waited for it can still be read. Needs no privileges.
[[nodiscard]] std::uint64_t process_cpu_ns(pid_t pid);

}  // namespace leaktrace::tracer
