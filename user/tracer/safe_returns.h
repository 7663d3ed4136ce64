// SPDX-License-Identifier: Apache-2.0
// Which functions may be probed by the kernel's return trampoline.
#pragma once

#include "user/catalog/row.h"
#include "user/tracer/elf_image.h"

namespace leaktrace::tracer {

/// Where return probes put their trampoline.
enum class Trampolines {
  where_safe,  ///< on functions of the C library that the catalog says are safe
  never,       ///< on none: in a Go program, whose stacks move
};

/// Is this file a C library whose own allocation functions call nothing that a program supplies?
/// That is musl, and glibc since 2.34, which removed __malloc_hook. A static program with an
/// allocator of its own is not: glibc's is then not linked in.
[[nodiscard]] bool is_plain_libc(const ElfImage& image);

/// May the return of the row's function in this file be probed by a trampoline?
[[nodiscard]] bool may_have_trampoline(const catalog::Row& row, const ElfImage& image,
                                       Trampolines trampolines);

}  // namespace leaktrace::tracer
