// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leaktrace::tracer {

/// Memory that may be used, and what is used of it by all that share it. Page cache that the kernel
/// would drop first (of a cgroup its inactive files, of the machine what MemAvailable leaves out)
/// counts as free.
struct MemoryLimit {
  std::uint64_t bytes = 0;
  std::uint64_t used_bytes = 0;
  std::string cgroup;  ///< whose limit it is, as /proc/PID/cgroup says it; empty: the machine's
};

/// Finds what bounds a process: of its memory cgroup, those that hold that one and the machine
/// (swap counts as memory), the one of which least is left. Both versions of cgroups; where no
/// hierarchy is mounted, as in some containers, only the machine's.
class MemoryLimits {
 public:
  /// `root` stands before the paths of /proc and of what is mounted: another one for tests.
  explicit MemoryLimits(std::string root = "");

  [[nodiscard]] std::optional<MemoryLimit> of(pid_t pid) const;

 private:
  struct Hierarchy {
    bool unified = false;
    std::string at;    ///< where it is mounted
    std::string from;  ///< the cgroup that is seen there
  };

  void find_hierarchies();
  [[nodiscard]] std::optional<MemoryLimit> of_machine() const;
  [[nodiscard]] std::optional<MemoryLimit> of_cgroup(const Hierarchy& hierarchy,
                                                     const std::string& path) const;
  void consider_cgroups(const Hierarchy& hierarchy, std::string path,
                        std::optional<MemoryLimit>& least) const;

  std::string root_;
  std::vector<Hierarchy> hierarchies_;
};

}  // namespace leaktrace::tracer
