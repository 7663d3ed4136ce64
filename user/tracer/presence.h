// SPDX-License-Identifier: Apache-2.0
// Are the probes in the memory of the process that they are for?
//
// The kernel is given a file, and puts the probe into every process that maps it. Where a process
// maps another file than the one which its name leads to (overlay_layers.h), attaching succeeds and
// no probe is anywhere.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "user/tracer/hooks.h"
#include "user/tracer/modules.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {

/// How many of the probes on a file are in a process's memory. Those of which the memory cannot be
/// read, or holds something else (a patch), are in neither number.
struct Presence {
  std::size_t there = 0;
  std::size_t missing = 0;  ///< the memory is as the file is

  [[nodiscard]] bool is_complete() const { return missing == 0; }
};

/// Looks at the probes at these offsets of a file that have been attached. `maps`: of the process,
/// read after that; `file`: the mapping of the file; `fd`: the file's content.
[[nodiscard]] Presence see_probes(pid_t pid, const std::vector<Mapping>& maps, const Mapping& file,
                                  int fd, std::span<const std::uint64_t> offsets);

/// Does another file have the same bytes where these hooks look and go?
[[nodiscard]] bool has_same_code(int fd, int other, std::span<const Hook> hooks);

/// What is not probed of each file, and in which processes: the loss that says all of it.
class ProbeLosses {
 public:
  /// Functions of the file are not hooked (check_hooks). A later one of the file replaces it.
  [[nodiscard]] ProbeLoss declined(const ProbeLoss& loss);
  /// The probes on `count` functions of the file are not in the memory of a process.
  [[nodiscard]] ProbeLoss missing(const std::string& path, pid_t pid, std::size_t count,
                                  bool on_overlay);

 private:
  struct OfFile {
    ProbeLoss declined;
    std::set<pid_t> processes;  ///< some of those that miss them
    std::size_t more = 0;
    std::size_t missing = 0;  ///< functions, at most in one process
    bool on_overlay = false;
  };
  [[nodiscard]] static ProbeLoss all_of(const std::string& path, const OfFile& file);

  std::map<std::string, OfFile> files_;
};

/// Why the probes on a file may be in no memory, and what to do.
[[nodiscard]] std::string missing_words(bool on_overlay);

}  // namespace leaktrace::tracer
