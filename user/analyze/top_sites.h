// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "user/analyze/report.h"

namespace leaktrace::analyze {

/// Leaves the first `top` sites of memory and the first `top` of PostgreSQL's kinds in a report,
/// as ReportOptions::top does, after all of them were looked at.
void keep_top(Report& report, std::size_t top);

}  // namespace leaktrace::analyze
