// SPDX-License-Identifier: Apache-2.0
#include "user/model/ids.h"

#include <array>
#include <utility>

namespace leaktrace::model {
namespace {

constexpr std::array<std::pair<Kind, std::string_view>, kKinds.size()> kKindNames = {{
    {Kind::heap, "heap"},
    {Kind::mmap, "mmap"},
    {Kind::pg_connection, "pg.connection"},
    {Kind::pg_result, "pg.result"},
    {Kind::pg_buffer, "pg.buffer"},
    {Kind::pg_large_object, "pg.large_object"},
    {Kind::pg_statement, "pg.statement"},
    {Kind::pg_cursor, "pg.cursor"},
    {Kind::pg_copy, "pg.copy"},
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

std::vector<Kind> kinds_from_name(std::string_view name) {
  std::vector<Kind> kinds;
  for (const auto& [kind, known] : kKindNames) {
    const bool in_family = known.starts_with(name) && known.substr(name.size()).starts_with('.');
    if (!name.empty() && (known == name || in_family)) kinds.push_back(kind);
  }
  return kinds;
}

}  // namespace leaktrace::model
