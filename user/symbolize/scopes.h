// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace leaktrace::symbolize {

/// The namespaces, types and functions around DIEs, for functions that a compiler gave no linkage
/// name (GCC: lambdas, constructors).
///
/// A DIE does not know its parent, so each search goes down from the unit. What it passes is kept:
/// the children of a DIE are walked once, and of a scope's name each part is read once.
class Scopes {
 public:
  /// "a::b::" or empty. Empty too in C, where there are none.
  [[nodiscard]] const std::string& of(Dwarf_Die die);

 private:
  /// Where the children lie in the section, ascending: a DIE's identity within its unit.
  using Children = std::vector<const void*>;

  [[nodiscard]] std::optional<Dwarf_Die> child_towards(Dwarf_Die& parent, const void* target);
  [[nodiscard]] const std::string& within(Dwarf_Die& die, const std::string& around);

  std::unordered_map<const void*, Children> children_;
  std::unordered_map<const void*, std::string> names_;
  const std::string none_;
};

}  // namespace leaktrace::symbolize
