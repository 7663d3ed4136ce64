// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/dies.h"

#include <dwarf.h>

#include <string_view>
#include <utility>

#include "user/symbolize/scopes.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {
namespace {

// The DIE that this one takes its missing attributes from: concrete to abstract instance,
// definition to declaration.
std::optional<Dwarf_Die> origin(Dwarf_Die& die) {
  Dwarf_Attribute attribute;
  if (::dwarf_attr(&die, DW_AT_abstract_origin, &attribute) == nullptr &&
      ::dwarf_attr(&die, DW_AT_specification, &attribute) == nullptr) {
    return std::nullopt;
  }
  Dwarf_Die result;
  if (::dwarf_formref_die(&attribute, &result) == nullptr) return std::nullopt;
  return result;
}

// The name of the function; `die` becomes the last DIE that was asked, its declaration if it has
// one.
FunctionName read_name(Dwarf_Die& die) {
  constexpr int kLongestChain = 16;  // real ones have three; damaged ones may go in circles
  const char* plain = nullptr;
  const char* linkage = nullptr;  // not mangled: an assembler name (C, Fortran)
  bool endless = true;
  for (int i = 0; i < kLongestChain; ++i) {
    for (unsigned attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
      const char* mangled = text(die, attribute);
      if (mangled == nullptr) continue;
      std::string name = demangle(mangled);
      if (name != mangled) return {std::move(name), true, false};
      linkage = mangled;
    }
    if (plain == nullptr) plain = text(die, DW_AT_name);
    auto next = origin(die);
    endless = next.has_value();
    if (!next) break;
    die = *next;
  }
  if (plain == nullptr) plain = linkage;
  return {plain == nullptr ? std::string() : std::string(plain), false, endless};
}

}  // namespace

std::vector<AddressRange> code_ranges(Dwarf_Die& die, const ElfFile& file) {
  std::vector<AddressRange> ranges;
  if (::dwarf_hasattr(&die, DW_AT_low_pc) == 0 && ::dwarf_hasattr(&die, DW_AT_ranges) == 0) {
    return ranges;
  }
  Dwarf_Addr base = 0;
  AddressRange range;
  for (ptrdiff_t at = 0; (at = ::dwarf_ranges(&die, at, &base, &range.begin, &range.end)) > 0;) {
    AddressRange code = file.in_code(range);
    if (code.begin < code.end) ranges.push_back(code);
  }
  return ranges;
}

std::optional<std::uint64_t> number(Dwarf_Die& die, unsigned attribute) {
  Dwarf_Attribute found;
  Dwarf_Word value = 0;
  if (::dwarf_attr(&die, attribute, &found) == nullptr) return std::nullopt;
  if (::dwarf_formudata(&found, &value) != 0) return std::nullopt;
  return value;
}

const char* text(Dwarf_Die& die, unsigned attribute) {
  Dwarf_Attribute found;
  if (::dwarf_attr(&die, attribute, &found) == nullptr) return nullptr;
  return ::dwarf_formstring(&found);
}

FunctionName function_name(Dwarf_Die die, Scopes& scopes) {
  Dwarf_Die named = die;
  FunctionName name = read_name(named);
  if (!name.mangled && !name.text.empty()) name.text = scopes.of(named) + name.text;
  return name;
}

FunctionName unscoped_name(Dwarf_Die die) {
  return read_name(die);
}

std::string full_path(Dwarf_Die unit, const char* path) {
  const char* folder = text(unit, DW_AT_comp_dir);
  if (path[0] == '/' || folder == nullptr || folder[0] == '\0') return path;
  std::string prefix = folder;
  if (prefix.back() != '/') prefix += '/';
  // Where a compilation was told to name its folder relative to another (-ffile-prefix-map), the
  // tables' own folders already are.
  std::string_view rest = path;
  return rest.starts_with(prefix) ? std::string(rest) : prefix + path;
}

}  // namespace leaktrace::symbolize
