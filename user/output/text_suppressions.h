// SPDX-License-Identifier: Apache-2.0
// What the reports leave out because the user said so, in words.
#pragma once

#include <string>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// Lines of the text report: what each rule has left out, which rules have expired, and, of a trace
/// that is over, which fitted nothing. Empty without rules.
[[nodiscard]] std::string suppression_lines(const analyze::Report& report);

/// "3 sites suppressed", for one line; empty when nothing is left out.
[[nodiscard]] std::string suppressed_words(const analyze::Report& report);

}  // namespace leaktrace::output
