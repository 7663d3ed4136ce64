// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/table_check.h"

#include <algorithm>
#include <span>

namespace leaktrace::unwind {
namespace {

/// What a row refers to is there. Kinds that the BPF side does not know stop it, safely.
bool is_sound(uint64_t row, size_t rules) {
  if (LT_UNWIND_ROW_CFA(row) == LT_UNWIND_CFA_RULE) return LT_UNWIND_ROW_RULE(row) < rules;
  return LT_UNWIND_ROW_CFA(row) != 0;
}

/// The first row at the page's first byte, the others strictly above it.
bool is_sorted(std::span<const uint64_t> rows) {
  return LT_UNWIND_ROW_ADDRESS(rows.front()) == 0 &&
         std::ranges::adjacent_find(rows, [](uint64_t a, uint64_t b) {
           return LT_UNWIND_ROW_ADDRESS(a) >= LT_UNWIND_ROW_ADDRESS(b);
         }) == rows.end();
}

}  // namespace

bool is_sound(const Table& table) {
  constexpr uint64_t page_size = uint64_t{1} << LT_UNWIND_PAGE_SHIFT;
  if (table.base % page_size != 0) return false;
  const std::span rows(table.rows);
  const auto page_is_sound = [&](const Page& page) {
    return page.count > 0 && page.first <= rows.size() && page.count <= rows.size() - page.first &&
           is_sorted(rows.subspan(page.first, page.count));
  };
  return std::ranges::all_of(table.pages, page_is_sound) &&
         std::ranges::all_of(rows, [&](uint64_t row) { return is_sound(row, table.rules.size()); });
}

}  // namespace leaktrace::unwind
