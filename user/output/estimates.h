// SPDX-License-Identifier: Apache-2.0
// How a trace was taken, and what that leaves unknown, in words.
#pragma once

#include <string>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// Whether the report's counts and bytes are estimates, some of them at least.
[[nodiscard]] bool has_estimates(const analyze::Report& report);

/// Whether probes were taken away for part of the time, to keep the budget.
[[nodiscard]] bool was_paused(const analyze::Report& report);

/// "exact", or how it was sampled, what that means for the numbers, and which share of the time was
/// observed to keep which budget.
[[nodiscard]] std::string mode_words(const analyze::Report& report);

/// The same without explanations.
[[nodiscard]] std::string short_mode_words(const analyze::Report& report);

/// "1.1 MiB to 6.3 MiB".
[[nodiscard]] std::string byte_limits(const analyze::Limits& limits);

/// "from 6 samples; with 95 % confidence 1.1 MiB to 6.3 MiB, 570 to 3300 blocks, +1.0 KiB/s to +6.2
/// KiB/s". Empty when the site's numbers are exact. `many`: what the site's resources are called.
[[nodiscard]] std::string estimate_words(const analyze::ReportSite& site, std::string_view many);

/// "1.0 MiB in 20 blocks more are presumed released while…"; empty when nothing is.
[[nodiscard]] std::string unseen_words(const analyze::ReportSite& site, std::string_view many);

}  // namespace leaktrace::output
