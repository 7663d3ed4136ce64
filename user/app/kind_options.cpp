// SPDX-License-Identifier: Apache-2.0
#include "user/app/kind_options.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace leaktrace::app {
namespace {

// A kind's name, or a prefix that names a family ("pg" for pg.cursor and the others).
std::string check_kind(std::string& name) {
  if (!model::kinds_from_name(name).empty()) return {};
  std::vector<std::string_view> names;
  for (model::Kind kind : model::kKinds) names.push_back(model::kind_name(kind));
  return fmt::format("'{}' is no kind of resource: {} are, and pg for all that begin so", name,
                     fmt::join(names, ", "));
}

}  // namespace

void add_kinds_option(CLI::App& command, std::vector<std::string>& names) {
  command
      .add_option("--kinds", names,
                  "Kinds of resources: heap, mmap, pg.cursor and the like, pg for all of "
                  "PostgreSQL's (all unless told)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(CLI::Validator(check_kind, "KIND"))
      ->option_text("KIND,...");
}

std::vector<model::Kind> kinds_named(const std::vector<std::string>& names) {
  std::vector<model::Kind> kinds;
  for (const std::string& name : names) {
    for (model::Kind kind : model::kinds_from_name(name)) {
      if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(kind);
    }
  }
  return kinds;
}

}  // namespace leaktrace::app
