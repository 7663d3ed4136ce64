// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace leaktrace::bench {

/// A program whose stacks are taken, at the returns of one function.
struct Subject {
  std::string name;
  std::vector<std::string> command;   ///< may start the program itself, over and over
  std::vector<std::string> programs;  ///< file names of the executables that are meant
  std::string file;                   ///< that holds the function
  std::string function;
  double seconds = 3;  ///< of measuring
  bool steady = true;  ///< does the same all the time: what disturbs it only adds
};

/// A subject at work, in an empty folder of its own; it and what it started end with this.
class Running {
 public:
  explicit Running(const Subject& subject);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// A process that runs one of the programs, if there is one now.
  [[nodiscard]] std::optional<pid_t> process() const;

 private:
  const std::vector<std::string> programs_;
  std::string folder_;
  pid_t group_ = -1;
};

/// -O2 code without frame pointers that calls at a depth; `touch`: bytes of other memory that it
/// goes through between two calls.
[[nodiscard]] Subject recursion(int depth, size_t touch = 0);

/// A script that allocates under that many Python functions, each block from malloc.
[[nodiscard]] Subject python_script(int depth);

/// Programs of Debian's packages, the ones that are installed (tests/bpf/oracle/workload.h).
[[nodiscard]] std::vector<Subject> real_programs();

}  // namespace leaktrace::bench
