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

/// The code that the file's section describes, in the order of the section; empty when there is no
/// such section. Entries whose pointers use an encoding that no compiler emits are left out.
/// libdw answers for one address but does not list the entries, hence this.
[[nodiscard]] std::vector<CodeRange> list_described_code(Elf* elf, FrameSection which);

}  // namespace leaktrace::unwind
