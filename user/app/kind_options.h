// SPDX-License-Identifier: Apache-2.0
// The option --kinds, which several commands take.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "user/model/ids.h"

namespace leaktrace::app {

/// Adds --kinds; `names` gets what was given, each a kind or a family of kinds, and must outlive
/// the parsing.
void add_kinds_option(CLI::App& command, std::vector<std::string>& names);

/// The kinds that those names stand for, each once; none: no name was given.
[[nodiscard]] std::vector<model::Kind> kinds_named(const std::vector<std::string>& names);

}  // namespace leaktrace::app
