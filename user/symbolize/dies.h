// SPDX-License-Identifier: Apache-2.0
// Reading the entries (DIEs) of a DWARF tree.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "user/symbolize/elf_file.h"
#include "user/symbolize/segment_map.h"

namespace leaktrace::symbolize {

/// The code of the DIE, in `file`'s executable sections; empty when it has none of its own.
[[nodiscard]] std::vector<AddressRange> code_ranges(Dwarf_Die& die, const ElfFile& file);

/// An attribute of this very DIE, as a number.
[[nodiscard]] std::optional<std::uint64_t> number(Dwarf_Die& die, unsigned attribute);
/// An attribute of this very DIE, as a string; null when it has none.
[[nodiscard]] const char* text(Dwarf_Die& die, unsigned attribute);

struct FunctionName {
  std::string text;      ///< empty when the function has none
  bool mangled = false;  ///< from a mangled linkage name; else the one in its source
  bool endless = false;  ///< damaged: what it is an instance of leads in circles
};

class Scopes;

/// The function's name as it is shown: its linkage name demangled, else its plain name within its
/// scope; where need be through the DIEs that it is an instance or the definition of.
[[nodiscard]] FunctionName function_name(Dwarf_Die die, Scopes& scopes);

/// The same without the scope of a plain name.
[[nodiscard]] FunctionName unscoped_name(Dwarf_Die die);

/// A file of `unit`'s tables in full: those relative to the folder of the compilation get it put
/// before them, as far as the unit tells it.
[[nodiscard]] std::string full_path(Dwarf_Die unit, const char* path);

}  // namespace leaktrace::symbolize
