// SPDX-License-Identifier: Apache-2.0
#include "user/model/ids.h"

#include <array>
#include <utility>

namespace leaktrace::model {
namespace {

constexpr std::array<std::pair<Kind, std::string_view>, 2> kKindNames = {{
    {Kind::heap, "heap"},
    {Kind::mmap, "mmap"},
}};

}  // namespace

std::string_view kind_name(Kind kind) {
  for (const auto& [value, name] : kKindNames) {
    if (value == kind) return name;
  }
  return "unknown";
}

std::optional<Kind> kind_from_name(std::string_view name) {
  for (const auto& [value, known] : kKindNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

}  // namespace leaktrace::model
