// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"

namespace leaktrace::tracer {

/// A function that the file defines, by its place in the file (what a uprobe is given).
struct FunctionSymbol {
  std::string name;
  std::uint64_t file_offset = 0;
  std::uint64_t size = 0;  ///< bytes up to its end or to the next symbol in it; 0: not known
};

/// Names by which a C library, and what a program brings in its place, is told (safe_returns.h).
struct LibraryMarks {
  std::string soname;        ///< DT_SONAME
  bool start_main = false;   ///< defines __libc_start_main
  bool glibc = false;        ///< and gnu_get_libc_version
  bool fork = false;         ///< and _Fork, which came with glibc 2.34
  bool int_malloc = false;   ///< has glibc's _int_malloc, by its symbol table
  bool malloc_hook = false;  ///< has __malloc_hook, by its symbol table
  bool go = false;           ///< was made by the Go compiler
};

/// What tracing needs to know of an ELF file; read once, the file is not kept open.
struct ElfImage {
  struct Segment {
    std::uint64_t file_offset = 0;
    std::uint64_t address = 0;
    std::uint64_t file_size = 0;
    bool executable = false;
  };

  std::string build_id;            ///< lower-case hex, empty when there is none
  std::uint16_t machine = 0;       ///< EM_X86_64 and the like
  std::uint64_t entry_offset = 0;  ///< of the entry point, in the file
  bool imports_malloc = false;
  LibraryMarks marks;
  std::vector<std::string> imports;  ///< those of the wanted names that come from other files
  std::uint64_t loader_state = 0;    ///< address of _r_debug, in the dynamic loader; 0: not there
  std::vector<Segment> segments;     ///< PT_LOAD
  std::vector<FunctionSymbol> functions;  ///< those of the wanted names that the file defines
  /// Functions by which allocators are recognized (catalog::allocator_family, kLibcMalloc).
  std::vector<FunctionSymbol> allocators;

  /// Reads the file. `wanted`: the function names to look for, in .dynsym and .symtab. A symbol
  /// that is chosen at run time (IFUNC) is no function that can be probed and is left out.
  [[nodiscard]] static Result<ElfImage> read(int fd, std::span<const std::string> wanted);

  /// An offset in the file as an address in the ELF's own numbering (p_vaddr); nothing when no
  /// segment holds it.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::uint64_t file_offset) const;
};

/// The first function of that name, or null. Only wanted names are found.
[[nodiscard]] const FunctionSymbol* find_function(const ElfImage& image, std::string_view name);

}  // namespace leaktrace::tracer
