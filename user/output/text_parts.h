// SPDX-License-Identifier: Apache-2.0
// What the text reports of one trace and of two have in common.
#pragma once

#include <string>
#include <string_view>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// A line of the head: "  period  60 s from …", wrapped.
[[nodiscard]] std::string head_line(const std::string& name, std::string_view text);

/// "60 s from 2026-01-01 00:00:00 UTC, 60 readings".
[[nodiscard]] std::string period_words(const analyze::Report& report);

/// "2 call sites grow, +5.6 KiB/s together"; for a report with growing sites.
[[nodiscard]] std::string growing_words(const analyze::Report& report);

/// The frames of a site, one or two lines each, and why the stack ends there.
[[nodiscard]] std::string stack_lines(const analyze::ReportSite& site);

/// What is not seen, a line of the head each. `where` as in loss_section.
[[nodiscard]] std::string not_seen_lines(const analyze::Report& report, std::string_view where);

/// What was lost, by cause and file, or that nothing was. `where` stands behind the words, for a
/// text about several traces: " in the old recording".
[[nodiscard]] std::string loss_section(const analyze::Report& report, std::string_view where);

}  // namespace leaktrace::output
