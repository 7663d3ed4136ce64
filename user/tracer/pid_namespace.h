// SPDX-License-Identifier: Apache-2.0
// The pid namespace that leaktrace runs in, whose process ids it uses everywhere.
#pragma once

#include <cstdint>

#include "user/base/result.h"

namespace leaktrace::tracer {

/// As the BPF programs are told (bpf/lib/pids.bpf.h).
struct PidNamespace {
  std::uint32_t level = 0;  ///< below the initial one, which is 0
  std::uint32_t inode = 0;  ///< of /proc/self/ns/pid
};

/// Can process ids be told here? /proc must be that of the pid namespace that this process is in,
/// and its children must be born there too. The error says what to do. Needs no privileges.
[[nodiscard]] Result<void> check_pid_namespace();

/// The namespace of this process. Below the initial one it loads and runs a BPF program, with
/// CAP_BPF and CAP_PERFMON, for nothing else tells the level. Fails where check_pid_namespace()
/// does.
[[nodiscard]] Result<PidNamespace> own_pid_namespace();

}  // namespace leaktrace::tracer
