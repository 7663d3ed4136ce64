// SPDX-License-Identifier: Apache-2.0
// The options of `leaktrace diff`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "user/app/options.h"

namespace leaktrace::app {

/// What CLI11 fills in.
struct DiffLine {
  DiffCommand command;
  std::vector<std::string> kinds;
};

/// Adds the options to the command; `line` must outlive the parsing.
void add_diff_options(CLI::App& command, DiffLine& line);

/// The command, once the line is parsed.
[[nodiscard]] DiffCommand diff_command_of(const DiffLine& line);

}  // namespace leaktrace::app
