// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "user/app/options.h"

namespace leaktrace::app {

/// The options that say which call sites a report passes over, and which make leaktrace exit with
/// the status for "flagged": --suppressions and --fail-on. They fill in `report`, which must live
/// as long as the command.
void add_judgement_options(CLI::App& command, ReportOptionsLine& report);

}  // namespace leaktrace::app
