// SPDX-License-Identifier: Apache-2.0
//
// Call sites that the user has decided to live with: they are left out of what a report lists, and
// never out of what it counts.
//
//   report, all sites ──▶ apply() ──┬─▶ sites that no rule fits: listed, and judged
//                                   └─▶ the rest, summed up by the first rule that fits each
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "user/analyze/glob.h"
#include "user/model/ids.h"

namespace leaktrace::analyze {

struct Report;

/// One entry of a suppression file. A site is suppressed when it is of one of the kinds and has a
/// frame that all of the patterns fit.
struct SuppressionRule {
  std::optional<Glob> function;    ///< see Glob::matches_function()
  std::optional<Glob> module;      ///< path of the mapped file; see Glob::matches_path()
  std::optional<Glob> source;      ///< path of the source file, likewise
  std::vector<model::Kind> kinds;  ///< empty: any
  /// Only the frame that names the site, and those that it calls; else any frame of the stack.
  bool innermost = false;
  std::string reason;
  std::optional<std::chrono::year_month_day> expires;  ///< the last day on which it counts, UTC
  std::string entry;                                   ///< where it is written: "file:line"

  [[nodiscard]] bool is_expired(std::chrono::sys_days today) const {
    return expires && std::chrono::sys_days(*expires) < today;
  }
};

enum class SuppressionState {
  matched,    ///< it fits a site, which perhaps another rule before it has taken
  unmatched,  ///< it fits none of the sites that hold something
  expired,
};

/// "matched", "unmatched", "expired".
[[nodiscard]] std::string_view suppression_state_name(SuppressionState state);

/// What a rule has left out of a report. Memory and PostgreSQL's kinds apart, as in the totals.
struct SuppressionUse {
  std::string entry;
  std::string reason;
  std::string expires;  ///< "2026-12-31"; empty: never
  SuppressionState state = SuppressionState::unmatched;
  std::uint64_t sites = 0;
  std::uint64_t outstanding_count = 0;  ///< of memory
  std::uint64_t outstanding_bytes = 0;  ///< of memory
  std::uint64_t postgres_count = 0;     ///< open resources of PostgreSQL's kinds
};

/// All the rules of a trace, in the order of their files.
class Suppressions {
 public:
  Suppressions() = default;
  explicit Suppressions(std::vector<SuppressionRule> rules) : rules_(std::move(rules)) {}

  [[nodiscard]] bool empty() const { return rules_.empty(); }
  [[nodiscard]] const std::vector<SuppressionRule>& rules() const { return rules_; }

  /// Takes the sites that a rule fits out of the report, which must hold all of them (no `top`),
  /// and says in it what every rule has left out. Totals of the report stay whole. `today` in UTC.
  void apply(Report& report, std::chrono::sys_days today) const;

 private:
  std::vector<SuppressionRule> rules_;
};

}  // namespace leaktrace::analyze
