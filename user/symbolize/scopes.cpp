// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/scopes.h"

#include <dwarf.h>

#include <optional>

#include "user/symbolize/dies.h"

namespace leaktrace::symbolize {
namespace {

bool is_c(Dwarf_Die& unit) {
  switch (number(unit, DW_AT_language).value_or(0)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
      return true;
    default:
      return false;
  }
}

// The child within which `target` lies, or which it is: the last that does not begin behind it.
// (A DIE does not know its parent.)
std::optional<Dwarf_Die> child_towards(Dwarf_Die& parent, Dwarf_Off target) {
  Dwarf_Die child;
  if (::dwarf_child(&parent, &child) != 0 || ::dwarf_dieoffset(&child) > target) {
    return std::nullopt;
  }
  Dwarf_Die next;
  while (::dwarf_siblingof(&child, &next) == 0 && ::dwarf_dieoffset(&next) <= target) child = next;
  return child;
}

void enter(std::string& scope, Dwarf_Die& die) {
  const char* name = text(die, DW_AT_name);
  switch (::dwarf_tag(&die)) {
    case DW_TAG_subprogram: {
      const FunctionName function = unscoped_name(die);
      scope = (function.mangled ? "" : scope) + function.text + "::";
      return;
    }
    case DW_TAG_namespace:
      scope += name != nullptr ? std::string(name) + "::" : "(anonymous namespace)::";
      return;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_module:
      scope += name != nullptr ? std::string(name) + "::" : "{unnamed type}::";
      return;
    default:
      return;
  }
}

}  // namespace

std::string scope_of(Dwarf_Die die) {
  constexpr int kDeepest = 64;
  Dwarf_Die parent;
  if (::dwarf_diecu(&die, &parent, nullptr, nullptr) == nullptr || is_c(parent)) return {};
  const Dwarf_Off target = ::dwarf_dieoffset(&die);
  std::string scope;
  for (int depth = 0; depth < kDeepest; ++depth) {
    auto child = child_towards(parent, target);
    if (!child || ::dwarf_dieoffset(&*child) == target) break;
    enter(scope, *child);
    parent = *child;
  }
  return scope;
}

}  // namespace leaktrace::symbolize
