// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/suppressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "user/analyze/label.h"
#include "user/analyze/report.h"

namespace leaktrace::analyze {
namespace {

using Rules = std::vector<SuppressionRule>;
using Fits = std::vector<bool>;  // one a rule

/// Which rules' patterns for one field of a frame fit a text. Sites share most of their frames, so
/// each text is held against the patterns once.
class FieldMatcher {
 public:
  using Field = std::optional<Glob> SuppressionRule::*;
  using Test = bool (Glob::*)(const std::string&) const;

  FieldMatcher(const Rules& rules, Field field, Test test)
      : rules_(rules), field_(field), test_(test) {}

  /// A rule without a pattern fits any text; a name that is not known (empty) fits no pattern.
  [[nodiscard]] const Fits& of(const std::string& text) {
    auto [known, is_new] = known_.try_emplace(text);
    if (is_new) {
      for (const SuppressionRule& rule : rules_) {
        const std::optional<Glob>& glob = rule.*field_;
        known->second.push_back(!glob || (!text.empty() && ((*glob).*test_)(text)));
      }
    }
    return known->second;
  }

 private:
  const Rules& rules_;
  Field field_;
  Test test_;
  std::unordered_map<std::string, Fits> known_;
};

bool is_of_kind(const SuppressionRule& rule, model::Kind kind) {
  return rule.kinds.empty() || std::ranges::find(rule.kinds, kind) != rule.kinds.end();
}

bool has_pattern(const SuppressionRule& rule) {
  return rule.function || rule.module || rule.source;
}

/// Holds sites against all rules at once.
class SiteMatcher {
 public:
  SiteMatcher(const Rules& rules, std::chrono::sys_days today)
      : rules_(rules),
        today_(today),
        functions_(rules, &SuppressionRule::function, &Glob::matches_function),
        modules_(rules, &SuppressionRule::module, &Glob::matches_path),
        sources_(rules, &SuppressionRule::source, &Glob::matches_path) {}

  [[nodiscard]] Fits of(const ReportSite& site) {
    Fits fits = frames_fit(site);
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      const SuppressionRule& rule = rules_[i];
      fits[i] = (fits[i] || !has_pattern(rule)) && is_of_kind(rule, site.kind) &&
                !rule.is_expired(today_);
    }
    return fits;
  }

 private:
  /// Whose patterns all fit one and the same frame.
  [[nodiscard]] Fits frames_fit(const ReportSite& site) {
    Fits fits(rules_.size());
    const std::size_t naming = naming_frame(site.stack);
    for (std::size_t depth = 0; depth < site.stack.size(); ++depth) {
      const ReportFrame& frame = site.stack[depth];
      const Fits& function = functions_.of(frame.source.function);
      const Fits& module = modules_.of(frame.module);
      const Fits& source = sources_.of(frame.source.file);
      for (std::size_t i = 0; i < rules_.size(); ++i) {
        if (rules_[i].innermost && depth > naming) continue;
        if (function[i] && module[i] && source[i]) fits[i] = true;
      }
    }
    return fits;
  }

  const Rules& rules_;
  std::chrono::sys_days today_;
  FieldMatcher functions_;
  FieldMatcher modules_;
  FieldMatcher sources_;
};

std::string date_words(const std::optional<std::chrono::year_month_day>& date) {
  if (!date) return {};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date->year()),
                     static_cast<unsigned>(date->month()), static_cast<unsigned>(date->day()));
}

SuppressionUse unused(const SuppressionRule& rule, std::chrono::sys_days today) {
  SuppressionUse use;
  use.entry = rule.entry;
  use.reason = rule.reason;
  use.expires = date_words(rule.expires);
  use.state = rule.is_expired(today) ? SuppressionState::expired : SuppressionState::unmatched;
  return use;
}

void count(const ReportSite& site, SuppressionUse& use) {
  ++use.sites;
  if (model::is_postgres(site.kind)) {
    use.postgres_count += site.outstanding_count;
  } else {
    use.outstanding_count += site.outstanding_count;
    use.outstanding_bytes += site.outstanding_bytes;
  }
}

}  // namespace

std::string_view suppression_state_name(SuppressionState state) {
  switch (state) {
    case SuppressionState::matched:
      return "matched";
    case SuppressionState::expired:
      return "expired";
    case SuppressionState::unmatched:
      break;
  }
  return "unmatched";
}

void Suppressions::apply(Report& report, std::chrono::sys_days today) const {
  report.suppressed.clear();
  report.suppressed_sites = 0;
  for (const SuppressionRule& rule : rules_) report.suppressed.push_back(unused(rule, today));
  if (rules_.empty()) return;
  SiteMatcher matcher(rules_, today);
  std::erase_if(report.sites, [&](const ReportSite& site) {
    const Fits fits = matcher.of(site);
    const auto first = std::ranges::find(fits, true);
    if (first == fits.end()) return false;
    for (std::size_t i = 0; i < fits.size(); ++i) {
      if (fits[i]) report.suppressed[i].state = SuppressionState::matched;
    }
    count(site, report.suppressed[static_cast<std::size_t>(first - fits.begin())]);
    if (!model::is_postgres(site.kind)) ++report.suppressed_sites;
    if (site.verdict == Verdict::growing) {
      --report.growing_sites;
      report.growing_bytes_per_second -= site.bytes_per_second;
    }
    return true;
  });
}

}  // namespace leaktrace::analyze
