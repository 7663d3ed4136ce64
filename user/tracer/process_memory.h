// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace leaktrace::tracer {

/// Memory of a process as the kernel counts it; fields as those of model::ProcessMemory.
struct ProcessMemory {
  std::uint64_t resident_bytes = 0;
  std::uint64_t anonymous_bytes = 0;
  std::uint64_t swapped_bytes = 0;
  std::uint64_t heap_bytes = 0;
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t cpu_ns = 0;
};

/// Reads the texts of /proc/PID/status and /proc/PID/stat (proc(5)), and the beginning of
/// /proc/PID/maps. Nothing for a process without memory: a zombie, a kernel thread.
[[nodiscard]] std::optional<ProcessMemory> parse_process_memory(std::string_view status,
                                                                std::string_view stat,
                                                                std::string_view maps);

/// Nothing when the process is gone or may not be looked at. A read costs some 50 µs, whatever the
/// number of mappings: of these only the first are looked at, for [heap] lies right behind the
/// program; where it does not, heap_bytes is 0.
[[nodiscard]] std::optional<ProcessMemory> read_process_memory(pid_t pid);

}  // namespace leaktrace::tracer
