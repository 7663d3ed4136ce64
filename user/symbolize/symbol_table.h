// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gelf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "user/symbolize/elf_file.h"
#include "user/symbolize/segment_map.h"

namespace leaktrace::symbolize {

/// The functions of one or more ELF symbol tables of one module. Files that are added must outlive
/// the table: names stay in them.
///
/// A symbol stands for [value, value + size), cut at the end of its section. One without a size
/// reaches to the next symbol or the end of its section. An address between symbols has no name.
class SymbolTable {
 public:
  enum class Kind { symtab, dynsym };

  /// Adds the functions of the file's .symtab or .dynsym, if it has such a table.
  void add(const ElfFile& file, Kind kind);
  void seal();

  /// The demangled name of the symbol that holds the address; empty when none does.
  [[nodiscard]] std::string find(std::uint64_t address) const;

  /// The name of the symbol that begins at the address.
  struct Name {
    std::string text;       ///< demangled; empty when no symbol begins there
    bool exported = false;  ///< global or weak
    bool mangled = false;
  };
  [[nodiscard]] Name name_at(std::uint64_t begin) const;

 private:
  struct Symbol {
    AddressRange range;
    std::uint64_t section_end;
    const char* name;
    int rank;  ///< of several names for one address the highest is shown
    bool exported;
    bool sized;  ///< else range is empty until seal()
  };

  void add_symbol(const ElfFile& file, const char* name, const GElf_Sym& symbol, bool superseded);
  void give_sizes();

  std::vector<Symbol> symbols_;
  SegmentMap map_;
};

}  // namespace leaktrace::symbolize
