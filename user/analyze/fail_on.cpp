// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/fail_on.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace leaktrace::analyze {
namespace {

constexpr std::string_view kGrowing = "growing";

Unexpected no_condition(std::string_view text, std::string_view why) {
  return fail(fmt::format("'{}' is no condition: {}", text, why),
              "write growing, growing:10K/s (of memory) or growing:5/min (of what is counted)");
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Cuts a number off the front of the text.
std::optional<double> take_number(std::string_view& text) {
  // from_chars would take "inf", "nan" and a sign too.
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// The bytes of a unit of size; nothing when it is none.
std::optional<double> bytes_of(std::string_view unit) {
  std::string name;
  for (const char c : unit) name += lower(c);
  if (name == "b") return 1;
  constexpr std::string_view kPrefixes = "kmgt";
  const std::size_t power = name.empty() ? std::string_view::npos : kPrefixes.find(name.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(name).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
  return std::pow(1024.0, static_cast<double>(power + 1));
}

std::optional<double> seconds_of(std::string_view time) {
  static constexpr std::array<std::pair<std::string_view, double>, 5> kTimes = {
      {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}}};
  const auto* found = std::ranges::find(kTimes, time, &std::pair<std::string_view, double>::first);
  if (found == kTimes.end()) return std::nullopt;
  return found->second;
}

}  // namespace

Result<FailOn> parse_fail_on(std::string_view text) {
  FailOn condition;
  if (text == kGrowing) return condition;
  std::string_view rest = text;
  if (!rest.starts_with(kGrowing) || rest.substr(kGrowing.size(), 1) != ":") {
    return no_condition(text, "the only verdict to fail on is growing");
  }
  rest.remove_prefix(kGrowing.size() + 1);
  const std::optional<double> number = take_number(rest);
  if (!number) return no_condition(text, "a rate begins with a number");
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view unit = rest.substr(0, slash);
  const std::string_view time = slash < rest.size() ? rest.substr(slash + 1) : "s";
  const std::optional<double> seconds = seconds_of(time);
  if (!seconds) return no_condition(text, "behind the slash stands s, m, min, h or d");
  const std::optional<double> bytes = unit.empty() ? std::optional(1.0) : bytes_of(unit);
  if (!bytes) return no_condition(text, "behind the number stands B, K, M, G, T or nothing");
  const double rate = *number * *bytes / *seconds;
  if (!(rate > 0)) return no_condition(text, "a rate is above zero");
  (unit.empty() ? condition.count_per_second : condition.bytes_per_second) = rate;
  return condition;
}

Result<FailOn> both(const FailOn& one, const FailOn& other) {
  if ((one.bytes_per_second && other.bytes_per_second) ||
      (one.count_per_second && other.count_per_second)) {
    return fail("two rates of the same things",
                "give one rate with a unit of size and one without");
  }
  FailOn sum = one;
  if (other.bytes_per_second) sum.bytes_per_second = other.bytes_per_second;
  if (other.count_per_second) sum.count_per_second = other.count_per_second;
  return sum;
}

bool is_flagged(const ReportSite& site, const FailOn& condition) {
  if (site.verdict != Verdict::growing) return false;
  if (model::is_postgres(site.kind)) {
    return !condition.count_per_second || site.count_low >= *condition.count_per_second;
  }
  return !condition.bytes_per_second || site.growth_low >= *condition.bytes_per_second;
}

std::vector<const ReportSite*> flagged_sites(const Report& report, const FailOn& condition) {
  std::vector<const ReportSite*> flagged;
  for (const ReportSite& site : report.sites) {
    if (is_flagged(site, condition)) flagged.push_back(&site);
  }
  return flagged;
}

bool is_all_undecided(const Report& report) {
  return !report.sites.empty() && std::ranges::all_of(report.sites, [](const ReportSite& site) {
    return site.verdict == Verdict::undecided;
  });
}

}  // namespace leaktrace::analyze
