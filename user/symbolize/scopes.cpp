// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/scopes.h"

#include <dwarf.h>

#include <algorithm>
#include <functional>
#include <iterator>

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

// The scope within a DIE that lies in `around`.
std::string enter(const std::string& around, Dwarf_Die& die) {
  const char* name = text(die, DW_AT_name);
  switch (::dwarf_tag(&die)) {
    case DW_TAG_subprogram: {
      const FunctionName function = unscoped_name(die);
      return (function.mangled ? "" : around) + function.text + "::";
    }
    case DW_TAG_namespace:
      return around + (name != nullptr ? name : "(anonymous namespace)") + "::";
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_module:
      return around + (name != nullptr ? name : "{unnamed type}") + "::";
    default:
      return around;
  }
}

}  // namespace

// The child within which `target` lies, or which it is: the last that does not begin behind it.
std::optional<Dwarf_Die> Scopes::child_towards(Dwarf_Die& parent, const void* target) {
  auto [entry, added] = children_.try_emplace(parent.addr);
  Children& children = entry->second;
  Dwarf_Die child;
  if (added && ::dwarf_child(&parent, &child) == 0) {
    do {
      // Damaged links may lead back.
      if (!children.empty() && std::less_equal<>()(child.addr, children.back())) break;
      children.push_back(child.addr);
    } while (::dwarf_siblingof(&child, &child) == 0);
    children.shrink_to_fit();
  }
  auto after = std::upper_bound(children.begin(), children.end(), target, std::less<>());
  if (after == children.begin()) return std::nullopt;
  child = {};
  child.addr = const_cast<void*>(*std::prev(after));
  child.cu = parent.cu;
  return child;
}

const std::string& Scopes::within(Dwarf_Die& die, const std::string& around) {
  auto [entry, added] = names_.try_emplace(die.addr);
  if (added) entry->second = enter(around, die);
  return entry->second;
}

const std::string& Scopes::of(Dwarf_Die die) {
  constexpr int kDeepest = 64;
  Dwarf_Die parent;
  if (::dwarf_diecu(&die, &parent, nullptr, nullptr) == nullptr || is_c(parent)) return none_;
  const std::string* scope = &none_;
  for (int depth = 0; depth < kDeepest; ++depth) {
    auto child = child_towards(parent, die.addr);
    if (!child || child->addr == die.addr) break;
    scope = &within(*child, *scope);
    parent = *child;
  }
  return *scope;
}

}  // namespace leaktrace::symbolize
