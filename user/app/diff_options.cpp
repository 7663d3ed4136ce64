// SPDX-License-Identifier: Apache-2.0
#include "user/app/diff_options.h"

#include <fmt/core.h>

#include "user/app/kind_options.h"
#include "user/app/option_values.h"
#include "user/output/diff_format.h"

namespace leaktrace::app {
void add_diff_options(CLI::App& command, DiffLine& line) {
  command.add_option("old", line.command.older, "The recording to compare with")
      ->required()
      ->option_text("OLD");
  command.add_option("new", line.command.newer, "The recording that is looked at")
      ->required()
      ->option_text("NEW");
  auto* group = command.add_option_group("Report");
  add_format_option(*group, line.command.format, output::diff_formats(), output::find_diff_format);
  group
      ->add_option("-o,--output", line.command.output,
                   "Write the difference to this file, whole or not at all")
      ->option_text("FILE");
  group
      ->add_option("--top", line.command.top,
                   "Show only the first N call sites that grew, and that shrank (text: 10, others: "
                   "all)")
      ->check(whole_number("number of call sites"))
      ->option_text("N");
  add_kinds_option(*command.add_option_group("Selection"), line.kinds);
  command.add_option_group("Symbols")->add_flag(
      "--debuginfod", line.command.debuginfod,
      "Fetch debug files from DEBUGINFOD_URLS; for each recording two minutes at most");
}

DiffCommand diff_command_of(const DiffLine& line) {
  DiffCommand command = line.command;
  command.kinds = kinds_named(line.kinds);
  return command;
}

}  // namespace leaktrace::app
