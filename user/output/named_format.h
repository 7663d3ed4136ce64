// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

#include "user/base/result.h"

namespace leaktrace::output {

/// The entry of that name in a table of formats; an unknown name is an error that lists the known
/// ones. The pointer is into the table.
template <typename F>
[[nodiscard]] Result<const F*> find_named(std::span<const F> table, std::string_view name) {
  std::string known;
  for (const F& format : table) {
    if (format.name == name) return &format;
    known += known.empty() ? "" : ", ";
    known += format.name;
  }
  return fail(fmt::format("there is no output format \"{}\"", name), "the formats are " + known);
}

}  // namespace leaktrace::output
