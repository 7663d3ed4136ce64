// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's part of the text report.
#pragma once

#include <string>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// What is open of each kind, in one line: "3 cursors, 120 results (2.1 MiB of the heap)"; empty
/// when nothing of PostgreSQL was traced or open.
[[nodiscard]] std::string postgres_total_words(const analyze::Report& report);

/// Between a site's heading and its stack: how many, since when, which, and on which connection.
[[nodiscard]] std::string postgres_site_lines(const analyze::ReportSite& site);

/// Which they are, on which connection, and their SQL, as far as that is known; perhaps nothing.
[[nodiscard]] std::string postgres_detail_lines(const analyze::ReportSite& site);

/// The connections and what each holds, those that hold most first; empty when there are none.
[[nodiscard]] std::string connection_lines(const analyze::Report& report);

}  // namespace leaktrace::output
