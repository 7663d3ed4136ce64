// SPDX-License-Identifier: Apache-2.0
#include "user/output/estimates.h"

#include <fmt/format.h>

#include <array>

#include "user/analyze/words.h"

namespace leaktrace::output {
namespace {

using analyze::human_byte_rate;
using analyze::human_bytes;

/// "512 KiB" where human_bytes would say 512.0: an interval is a setting, and not measured.
std::string interval_words(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 4> kUnits = {"B", "KiB", "MiB", "GiB"};
  std::size_t unit = 0;
  while (unit + 1 < kUnits.size() && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return bytes < 1024 ? fmt::format("{} {}", bytes, kUnits[unit])
                      : human_bytes(bytes << (10 * unit));
}

std::string share_words(const analyze::Report& report) {
  std::string words = fmt::format("observed {:.{}f} % of the time", report.duty_percent,
                                  report.duty_percent < 10 ? 1 : 0);
  if (report.budget_percent) {
    words += fmt::format(" to keep a budget of {:g} %", *report.budget_percent);
  }
  return words;
}

std::string counting_words(const analyze::Report& report) {
  if (report.sampling_bytes == 0) return "exact";
  std::string words =
      fmt::format("sampled, one in {} on average", interval_words(report.sampling_bytes));
  if (report.sampling_bytes_now > report.sampling_bytes) {
    words += fmt::format(", by now in {}", interval_words(report.sampling_bytes_now));
  }
  return words;
}

}  // namespace

bool has_estimates(const analyze::Report& report) {
  return report.sampling_bytes > 0 || report.all_estimate.has_value();
}

bool was_paused(const analyze::Report& report) {
  return report.duty_percent < 99.5;  // attaching and the last reading take a moment too
}

std::string short_mode_words(const analyze::Report& report) {
  std::string words = counting_words(report);
  if (was_paused(report)) return words + ", " + share_words(report);
  if (report.budget_percent) {
    words += fmt::format(", at most {:g} % slower", *report.budget_percent);
  }
  return words;
}

std::string mode_words(const analyze::Report& report) {
  std::string words = counting_words(report);
  if (report.sampling_bytes > 0) words += ": counts and bytes are estimates (95 % intervals)";
  if (was_paused(report)) {
    return words + "; " + share_words(report) +
           ": what was acquired in the rest is in no number, and unseen releases are estimated";
  }
  if (report.budget_percent) {
    words += fmt::format("; at most {:g} % slower", *report.budget_percent);
  }
  return words;
}

std::string byte_limits(const analyze::Limits& limits) {
  return fmt::format("{} to {}", human_bytes(limits.low), human_bytes(limits.high));
}

std::string estimate_words(const analyze::ReportSite& site, std::string_view many) {
  if (!site.estimate) return {};
  const analyze::Estimate& estimate = *site.estimate;
  std::string words;
  if (estimate.samples > 0) {
    words = fmt::format("from {} sample{}; ", estimate.samples, estimate.samples == 1 ? "" : "s");
  }
  words += fmt::format("with 95 % confidence {}, {} to {} {}", byte_limits(estimate.bytes),
                       estimate.count.low, estimate.count.high, many);
  if (site.bytes_per_second != 0) {
    words += fmt::format(", {} to {}", human_byte_rate(site.growth_low),
                         human_byte_rate(site.growth_high));
  }
  return words;
}

std::string unseen_words(const analyze::ReportSite& site, std::string_view many) {
  if (!site.estimate || site.estimate->unseen_count == 0) return {};
  return fmt::format("left out: {} in {} {} that are presumed released while nothing was attached",
                     human_bytes(site.estimate->unseen_bytes), site.estimate->unseen_count, many);
}

}  // namespace leaktrace::output
