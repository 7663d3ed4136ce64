// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "user/tracer/elf_image.h"
#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

/// Code between a function's entry and its probe, by offsets in the file: what is in
/// (entry, probe] must be reached from the entry only.
struct CodeWindow {
  std::uint64_t entry = 0;
  std::uint64_t probe = 0;
};

/// Which of the windows a direct jump or call of the file may lead into, one answer a window. All
/// executable segments are read once, in pieces. A window that cannot be read counts as entered.
///
/// On x86-64 every byte is taken for the beginning of a jump with a distance of 32 bits: chance
/// makes a target in a window of some bytes out of other code once in 2^32. Jumps with 8 bits come
/// from nearby only, where chance would make them often: there the code is decoded from many
/// starting points, which meet on the real instructions, and only those count. Targets of indirect
/// jumps are not known; compilers lead none into the beginning of a function.
[[nodiscard]] std::vector<bool> find_jumps_into(int fd, const ElfImage& image,
                                                const Decoder& decoder,
                                                std::span<const CodeWindow> windows);

}  // namespace leaktrace::tracer
