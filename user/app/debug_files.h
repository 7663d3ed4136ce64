// SPDX-License-Identifier: Apache-2.0
// Debug files that are fetched while the user waits for the last report.
#pragma once

#include "user/base/result.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::app {

/// Lets the symbolizer ask debuginfod servers (--debuginfod).
[[nodiscard]] Result<void> use_debuginfod(symbolize::Symbolizer& symbolizer);

/// Waits for the debug files that were asked for: two minutes at most, and until the user presses
/// Ctrl-C, which is taken to mean this wait. Says on a terminal how far it is. True when there were
/// any: names may be better now.
bool await_debug_files(symbolize::Symbolizer& symbolizer);

}  // namespace leaktrace::app
