// SPDX-License-Identifier: Apache-2.0
// What is made sure of, by the file's bytes alone, before a place that another process has chosen
// is probed.
#pragma once

#include <span>
#include <vector>

#include "user/tracer/elf_image.h"
#include "user/tracer/elf_reader.h"
#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

/// The PT_LOAD segments by the program headers of a little-endian 64-bit ELF file; none when they
/// make no sense. Reads them without a library.
[[nodiscard]] std::vector<ElfImage::Segment> read_load_segments(int fd);

/// Does all of [offset, offset + size) lie in one executable segment?
[[nodiscard]] bool is_in_code(std::span<const ElfImage::Segment> segments, std::uint64_t offset,
                              std::size_t size);

/// Is this an answer to the request? The probe is where choose_site() could have put it, on bytes
/// of an instruction that is of the claimed class and emulated if that is claimed; the returns are
/// on bytes of return instructions.
[[nodiscard]] bool is_sound(const HookPlace& place, const HookRequest& request, int fd,
                            const ElfImage& image, const ClassSet& emulated);

}  // namespace leaktrace::tracer
