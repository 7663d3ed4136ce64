// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libelf.h>

#include <cstdint>
#include <vector>

namespace leaktrace::unwind {

/// Code that one frame description entry speaks of: ELF addresses, end excluded.
struct CodeRange {
  uint64_t start = 0;
  uint64_t end = 0;
};

/// Which of the two forms of call frame information a section holds.
enum class FrameSection { eh_frame, debug_frame };

/// What a section describes.
struct DescribedCode {
  std::vector<CodeRange> ranges;  ///< in the order of the section
  uint64_t malformed = 0;         ///< entries that cannot be read, and pointers in an encoding that
                                  ///< no compiler emits; the section itself counts as one
};

/// The code that the file's section describes; empty when there is no such section. libdw answers
/// for one address but does not list the entries, hence this.
[[nodiscard]] DescribedCode list_described_code(Elf* elf, FrameSection which);

}  // namespace leaktrace::unwind
