// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/symbol_table.h"

#include <gelf.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <tuple>
#include <utility>

#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {
namespace {

bool may_be_function(unsigned char info) {
  switch (GELF_ST_TYPE(info)) {
    case STT_FUNC:
    case STT_GNU_IFUNC:
    case STT_NOTYPE:  // hand-written assembler
      return true;
    default:
      return false;
  }
}

// Labels that assemblers put into the table for themselves: .L1, and $x, $d on arm64.
bool is_marker(std::string_view name) {
  return name.empty() || name.starts_with(".L") || name.starts_with('$');
}

bool is_mangled(std::string_view name) {
  return name.starts_with("_Z") || name.starts_with("_R");
}

// The name that users of the function know: malloc rather than __libc_malloc, puts (weak in glibc)
// rather than _IO_puts, an exported name rather than a local alias.
int rank(std::string_view name, unsigned char info) {
  const auto underscores = static_cast<int>(std::min<std::size_t>(name.find_first_not_of('_'), 3));
  int rank = GELF_ST_TYPE(info) == STT_NOTYPE ? 0 : 100;
  if (GELF_ST_BIND(info) == STB_GLOBAL) rank += 40;
  if (GELF_ST_BIND(info) == STB_WEAK) rank += 35;
  return rank - (is_mangled(name) ? 0 : underscores * 10);
}

// A name that only old programs are still bound to: "cfree@GLIBC_2.2.5", which is free. Of several
// versions the current one has two "@"; .dynsym says it in a table of its own.
bool is_superseded(std::string_view name, Elf_Data* versions, int index) {
  constexpr GElf_Versym kHidden = 0x8000;
  GElf_Versym version = 0;
  if (versions != nullptr && ::gelf_getversym(versions, index, &version) != nullptr) {
    return (version & kHidden) != 0;
  }
  const auto at = name.find('@');
  return at != std::string_view::npos && name.substr(at, 2) != "@@";
}

Elf_Data* symbol_versions(Elf* elf) {
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(elf, scn)) != nullptr;) {
    GElf_Shdr header;
    if (::gelf_getshdr(scn, &header) == nullptr) continue;
    if (header.sh_type == SHT_GNU_versym) return ::elf_getdata(scn, nullptr);
  }
  return nullptr;
}

std::string shown(std::string_view symbol) {
  return demangle(std::string(symbol.substr(0, symbol.find('@'))));  // "memcpy@@GLIBC_2.14"
}

}  // namespace

void SymbolTable::add(const ElfFile& file, Kind kind) {
  const GElf_Word wanted = kind == Kind::symtab ? SHT_SYMTAB : SHT_DYNSYM;
  Elf_Data* versions = kind == Kind::dynsym ? symbol_versions(file.elf()) : nullptr;
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(file.elf(), scn)) != nullptr;) {
    GElf_Shdr header;
    if (::gelf_getshdr(scn, &header) == nullptr || header.sh_type != wanted) continue;
    Elf_Data* data = ::elf_getdata(scn, nullptr);
    if (data == nullptr || data->d_buf == nullptr) continue;
    GElf_Sym symbol;
    for (int i = 1; ::gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      const char* name = ::elf_strptr(file.elf(), header.sh_link, symbol.st_name);
      if (name != nullptr) add_symbol(file, name, symbol, is_superseded(name, versions, i));
    }
  }
}

void SymbolTable::add_symbol(const ElfFile& file, const char* name, const GElf_Sym& symbol,
                             bool superseded) {
  const bool here = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS;
  if (!here || !may_be_function(symbol.st_info) || is_marker(name)) return;
  const std::uint64_t value = symbol.st_value;
  const std::uint64_t section_end = file.in_code({value, UINT64_MAX}).end;
  if (section_end <= value) return;
  const std::uint64_t end =
      symbol.st_size > section_end - value ? section_end : value + symbol.st_size;
  const bool exported = GELF_ST_BIND(symbol.st_info) != STB_LOCAL;
  const int points = rank(name, symbol.st_info) - (superseded ? 30 : 0);
  symbols_.push_back({{value, end}, section_end, name, points, exported, end > value});
}

// A symbol without a size reaches to the next value above its own.
void SymbolTable::give_sizes() {
  std::uint64_t next = UINT64_MAX;
  std::uint64_t value = UINT64_MAX;
  for (auto symbol = symbols_.rbegin(); symbol != symbols_.rend(); ++symbol) {
    if (symbol->range.begin != value) next = std::exchange(value, symbol->range.begin);
    if (!symbol->sized) symbol->range.end = std::min(next, symbol->section_end);
  }
}

// Puts symbols with a size first at each address, and the name to show last: the map finds that.
void SymbolTable::seal() {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    auto key = [](const Symbol& symbol) {
      return std::tuple(symbol.range.begin, !symbol.sized, symbol.rank);
    };
    return key(a) != key(b) ? key(a) < key(b) : std::strcmp(a.name, b.name) > 0;
  });
  give_sizes();
  std::uint64_t sized_end = 0;  // a label within a function that has a size is not a function
  for (std::uint32_t i = 0; i < symbols_.size(); ++i) {
    const Symbol& symbol = symbols_[i];
    if (!symbol.sized && symbol.range.begin < sized_end) continue;
    if (symbol.sized) sized_end = std::max(sized_end, symbol.range.end);
    map_.add(symbol.range, i);
  }
  map_.seal();
}

std::string SymbolTable::find(std::uint64_t address) const {
  auto index = map_.find(address);
  return index ? shown(symbols_[*index].name) : std::string();
}

SymbolTable::Name SymbolTable::name_at(std::uint64_t begin) const {
  auto index = map_.find(begin);
  if (!index || symbols_[*index].range.begin != begin) return {};
  const Symbol& symbol = symbols_[*index];
  return {shown(symbol.name), symbol.exported, is_mangled(symbol.name)};
}

}  // namespace leaktrace::symbolize
