// SPDX-License-Identifier: Apache-2.0
// Where a function returns to its caller: for probes on its own return instructions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "user/base/result.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/probe_site.h"

namespace leaktrace::tracer {

/// The ways out of a function.
///
/// A return probe puts the kernel's trampoline in place of the return address. That is not there
/// when the function is left by an exception, a cancelled thread or another stack, and an unwinder
/// that looks at the stack meanwhile finds no way on. A probe on a `ret` changes nothing: the stack
/// is the program's own, and a call that never comes there is simply not seen to return.
struct FunctionExits {
  /// Its return instructions, and those of the code that it ends in by a jump (its cold part, tail
  /// calls). With a probe on each, a call that returns hits exactly one of them.
  std::vector<ProbeSite> returns;
  /// Why they are not all known; then there are none: half of a function's returns is a wrong
  /// count.
  std::string declined;
};

/// Finds the exits of functions of one file. Code is bounded by the unwind information: it is what
/// the compiler says of where functions and their parts begin and end.
class ExitFinder {
 public:
  /// Reads the file's unwind information. `fd` and `image` must outlive it; the descriptor stays
  /// the caller's.
  [[nodiscard]] static Result<ExitFinder> open(int fd, const ElfImage& image,
                                               const ClassSet& emulated);
  ExitFinder(ExitFinder&&) noexcept;
  ExitFinder& operator=(ExitFinder&&) noexcept;
  ~ExitFinder();

  [[nodiscard]] FunctionExits find(const FunctionSymbol& function) const;

 private:
  struct File;
  explicit ExitFinder(std::unique_ptr<File> file);
  std::unique_ptr<File> file_;
};

}  // namespace leaktrace::tracer
