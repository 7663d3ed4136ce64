// SPDX-License-Identifier: Apache-2.0
//
// When a report makes leaktrace exit with the status that says "flagged".
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "user/analyze/report.h"
#include "user/base/result.h"

namespace leaktrace::analyze {

/// The condition of --fail-on: a site whose verdict is `growing`, and whose growth reaches the rate
/// for its kind, where there is one. Each rate speaks of its own kinds only: without one, all that
/// grow are flagged.
struct FailOn {
  std::optional<double> bytes_per_second;  ///< for memory
  std::optional<double> count_per_second;  ///< for what is counted: PostgreSQL's kinds
  bool operator==(const FailOn&) const = default;
};

/// Reads one condition:
///
///   condition  growing [ : RATE ]
///   RATE       NUMBER [ UNIT ] [ / TIME ]         10K/s, 1.5M/h, 512B, 10/min
///   NUMBER     digits, with a decimal fraction; above zero
///   UNIT       B, K, M, G or T, the last four with B or iB behind them, in any case; powers of
///              1024. With a unit it is a rate of bytes, without one of resources
///   TIME       s, m, min, h or d; a second unless told
///
/// What is no condition is an error that says what is one.
[[nodiscard]] Result<FailOn> parse_fail_on(std::string_view text);

/// Both conditions as one. Two rates for the same kinds are an error.
[[nodiscard]] Result<FailOn> both(const FailOn& one, const FailOn& other);

/// A rate of bytes is reached when the lower 95 % limit of the site's growth reaches it. What is
/// counted is counted exactly, never sampled, and so its rate is its own lower limit.
[[nodiscard]] bool is_flagged(const ReportSite& site, const FailOn& condition);

/// The sites of the report that are flagged, in its order. They stay the report's own: the pointers
/// hold until its sites change.
[[nodiscard]] std::vector<const ReportSite*> flagged_sites(const Report& report,
                                                           const FailOn& condition);

/// The report lists sites, and nothing could be said of any: it was not looked at for long enough.
[[nodiscard]] bool is_all_undecided(const Report& report);

}  // namespace leaktrace::analyze
