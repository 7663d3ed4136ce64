// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// Why leaktrace exits with the status for "flagged": a line that says how many sites, then one for
/// each of the first ten, without line ends. Empty when none is flagged.
[[nodiscard]] std::vector<std::string> flagged_lines(
    const std::vector<const analyze::ReportSite*>& sites);

}  // namespace leaktrace::output
