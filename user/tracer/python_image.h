// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "leaktrace/python_abi.h"

namespace leaktrace::tracer {

/// A file that CPython's interpreter is in (the program, or libpython): where it keeps its frames.
/// The same for all processes that map the file.
struct PythonImage {
  lt_python layout{};  ///< its addresses are in the ELF's own numbering (p_vaddr)
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  // For those who read what is copied of its strings (Include/cpython/unicodeobject.h).
  std::uint32_t ascii_data = 0;
  std::uint32_t other_data = 0;

  /// The layout in a process that has the file `bias` bytes above its own numbering.
  [[nodiscard]] lt_python at(std::uint64_t bias) const;
};

/// Nothing when the file has no interpreter, or one of a release that is not known (3.11 to 3.13
/// are): its stacks are then native ones only. Does not take ownership of `fd`.
[[nodiscard]] std::optional<PythonImage> read_python_image(int fd);

/// The function of the interpreter whose frames stand for Python frames.
inline constexpr const char* kPythonEvaluation = "_PyEval_EvalFrameDefault";

}  // namespace leaktrace::tracer
