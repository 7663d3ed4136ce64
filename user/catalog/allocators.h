// SPDX-License-Identifier: Apache-2.0
// How to recognize what cannot be hooked: allocators whose functions no row names, and programs
// that run others by translating their code.
#pragma once

#include <span>
#include <string_view>

namespace leaktrace::catalog {

/// An allocator that is recognized by one function of it.
struct AllocatorFamily {
  std::string_view name;
  /// The function's symbol; a leading '*' stands for one or more characters.
  std::string_view symbol;
  std::string_view advice;  ///< in the imperative
};

/// The table. A family may have several rows.
[[nodiscard]] std::span<const AllocatorFamily> allocator_families();

/// The family that the symbol tells of, or null.
[[nodiscard]] const AllocatorFamily* allocator_family(std::string_view symbol);

/// malloc under the name that only a C library gives it (glibc, musl): where a file has it, the
/// file's malloc is the C library's and not another name of the allocator beside it.
inline constexpr std::string_view kLibcMalloc = "__libc_malloc";

/// A program that translates the code of another one and runs the translation. A probe is no
/// exception to it but an instruction of the program: a breakpoint, which kills it.
struct Translator {
  std::string_view name;
  /// Of a file that it maps: a part of the path, and how the path ends.
  std::string_view path_part;
  std::string_view path_end;
  std::string_view advice;
};

[[nodiscard]] std::span<const Translator> translators();

/// The translator that a mapped file tells of, or null.
[[nodiscard]] const Translator* translator_of(std::string_view path);

}  // namespace leaktrace::catalog
