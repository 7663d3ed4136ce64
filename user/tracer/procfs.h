// SPDX-License-Identifier: Apache-2.0
// What /proc says of a process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"

namespace leaktrace::tracer {

/// One line of /proc/PID/maps.
struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;  ///< in the file, bytes
  bool readable = false;
  bool executable = false;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;  ///< 0: no file
  std::string path;         ///< as the process sees it, without " (deleted)"; "[vdso]" and the like

  [[nodiscard]] bool is_file() const { return inode != 0; }
};

/// Parses the text of a maps file; lines that are not of its form are left out.
[[nodiscard]] std::vector<Mapping> parse_maps(std::string_view text);

/// The mappings of a process, ascending. An error when the process is gone or may not be looked at.
[[nodiscard]] Result<std::vector<Mapping>> read_maps(pid_t pid);

/// The field after "Name:" in the text of /proc/PID/status; empty when there is none.
[[nodiscard]] std::string status_field(std::string_view status, std::string_view name);

/// The ids of all processes.
[[nodiscard]] std::vector<pid_t> all_processes();

struct ProcessInfo {
  pid_t pid = 0;
  std::string comm;
  std::string exe;
  std::string cgroup;
};

/// Names of a process; fields that cannot be read are empty.
[[nodiscard]] ProcessInfo read_process_info(pid_t pid);

/// Can this process be traced at all? No such process, a thread's id, a kernel thread, a zombie, a
/// 32-bit program and leaktrace itself each have their own error.
[[nodiscard]] Result<void> check_traceable(pid_t pid);

/// Is there no process of this id any more, not even one that has ended?
[[nodiscard]] bool is_gone(pid_t pid);

/// Where a file of the process is opened: through the process's own root, so that other mount
/// namespaces work.
[[nodiscard]] std::string path_in_root(pid_t pid, std::string_view path);

/// The kernel's number for the device as /proc/PID/maps prints it (major:minor).
[[nodiscard]] std::uint64_t device_number(dev_t device);

}  // namespace leaktrace::tracer
