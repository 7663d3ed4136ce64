// SPDX-License-Identifier: Apache-2.0
#include "user/output/diff_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "user/analyze/words.h"
#include "user/output/text_layout.h"

namespace leaktrace::output {
namespace {

using analyze::DiffAmount;
using analyze::DiffChange;
using analyze::DiffPair;
using analyze::human_byte_difference;
using analyze::human_byte_rate;
using analyze::human_bytes;

/// "60.0 KiB in 60 blocks"; of what is counted "3 cursors (1.2 KiB)".
std::string held(model::Kind kind, const DiffAmount& amount) {
  const std::string number = (amount.estimate ? "about " : "") + resources(kind, amount.count);
  if (!model::is_postgres(kind)) return human_bytes(amount.bytes) + " in " + number;
  return amount.bytes == 0 ? number : fmt::format("{} ({})", number, human_bytes(amount.bytes));
}

/// "+540.0 KiB"; of what is counted, or where the bytes are the same, "+3 cursors".
std::string change_of(model::Kind kind, std::int64_t count, std::int64_t bytes) {
  if (!model::is_postgres(kind) && (bytes != 0 || count == 0)) return human_byte_difference(bytes);
  const std::string_view noun = count == 1 || count == -1 ? one_of(kind) : many_of(kind);
  return fmt::format("{}{} {}", count > 0 ? "+" : "", count, noun);
}

std::string rate(model::Kind kind, const DiffAmount& amount) {
  if (model::is_postgres(kind)) {
    return fmt::format("{:+.2f} {}/s", amount.count_per_second, many_of(kind));
  }
  return human_byte_rate(amount.bytes_per_second) + count_rate(kind, amount.count_per_second);
}

bool is_still(const DiffAmount& amount) {
  return amount.bytes_per_second == 0 && amount.count_per_second == 0;
}

std::string sample_words(const DiffPair& pair) {
  if (!pair.older.estimate && !pair.newer.estimate) return {};
  const auto samples = [](const DiffAmount& of) { return of.estimate ? of.estimate->samples : 0; };
  return fmt::format(" (from {} before and {} now)",
                     counted(samples(pair.older), "sample", "samples"), samples(pair.newer));
}

/// Whether some rate is beside the amounts: a recording of one reading has none.
bool has_rates(const analyze::Diff& diff) {
  return std::ranges::any_of(diff.kinds, [](const auto& kind) {
    return !is_still(kind.second.amounts.older) || !is_still(kind.second.amounts.newer);
  });
}

std::string at_sites(const DiffAmount& amount) {
  return counted(amount.sites, "call site", "call sites");
}

/// "60.0 KiB in 60 blocks at 1 call site"; "none".
std::string held_at(model::Kind kind, const DiffAmount& amount) {
  return amount.sites == 0 ? "none" : held(kind, amount) + " at " + at_sites(amount);
}

}  // namespace

std::uint64_t all_sites(const analyze::Diff& diff) {
  std::uint64_t sites = 0;
  for (const auto& [kind, sums] : diff.kinds) {
    for (const auto& [change, sum] : sums.changes) sites += sum.sites;
  }
  return sites;
}

bool has_limits(const analyze::Diff& diff) {
  return std::ranges::any_of(
      diff.kinds, [](const auto& kind) { return kind.second.amounts.bytes_limits.has_value(); });
}

std::string length_words(const analyze::Diff& diff) {
  constexpr double kAlike = 1.2;
  const double older = diff.older.report.seconds;
  const double newer = diff.newer.report.seconds;
  const std::string how = "compared as they are when each recording ends";
  if (older <= 0 || newer <= 0) return how;
  const double times = std::max(older, newer) / std::min(older, newer);
  if (times < kAlike) return how;
  return fmt::format("{}; the {} one is {:.1f} times as long{}", how, newer > older ? "new" : "old",
                     times, has_rates(diff) ? ": look at the rates beside them" : "");
}

std::string kind_words(model::Kind kind, const DiffPair& pair) {
  std::string words = fmt::format("{}: from {} to {}",
                                  change_of(kind, pair.count_difference(), pair.bytes_difference()),
                                  held_at(kind, pair.older), held_at(kind, pair.newer));
  if (pair.bytes_limits && pair.bytes_limits->low < pair.bytes_limits->high &&
      !model::is_postgres(kind)) {
    words += fmt::format("; with 95 % confidence {} to {}",
                         human_byte_difference(pair.bytes_limits->low),
                         human_byte_difference(pair.bytes_limits->high));
  }
  return words;
}

std::string change_words(model::Kind kind, const analyze::DiffKind& sums) {
  std::string words;
  for (const auto& [change, sum] : sums.changes) {
    if (!words.empty()) words += ", ";
    if (change != DiffChange::same) {
      words += fmt::format("{} {} ({})", sum.sites, analyze::change_name(change),
                           change_of(kind, sum.count, sum.bytes));
      continue;
    }
    words += fmt::format("{} the same", sum.sites);
    if (sum.within_sampling > 0) {
      words += fmt::format(" ({} within sampling)", sum.within_sampling);
    }
  }
  return words;
}

std::string amount_words(const analyze::DiffSite& site) {
  const model::Kind kind = site.site.kind;
  const DiffPair& pair = site.amounts;
  if (pair.older.sites == 0) return held(kind, pair.newer) + ", none before";
  if (pair.newer.sites == 0) return held(kind, pair.older) + " before, none now";
  return fmt::format("{}: from {} to {}",
                     change_of(kind, pair.count_difference(), pair.bytes_difference()),
                     held(kind, pair.older), held(kind, pair.newer));
}

std::string limit_words(const analyze::DiffSite& site) {
  const DiffPair& pair = site.amounts;
  if (!pair.bytes_limits || !pair.count_limits) return {};
  if (model::is_postgres(site.site.kind) || pair.bytes_difference() == 0) {
    return fmt::format("with 95 % confidence {:+} to {:+} {}", pair.count_limits->low,
                       pair.count_limits->high, many_of(site.site.kind));
  }
  return fmt::format("with 95 % confidence {} to {}{}",
                     human_byte_difference(pair.bytes_limits->low),
                     human_byte_difference(pair.bytes_limits->high), sample_words(pair));
}

std::string rate_words(const analyze::DiffSite& site) {
  const DiffPair& pair = site.amounts;
  if (is_still(pair.older) && is_still(pair.newer)) return {};
  if (pair.older.sites == 0) return "rate " + rate(site.site.kind, pair.newer);
  if (pair.newer.sites == 0) return "rate before " + rate(site.site.kind, pair.older);
  return fmt::format("rate before {}; now {}", rate(site.site.kind, pair.older),
                     rate(site.site.kind, pair.newer));
}

std::string match_words(const analyze::DiffSite& site) {
  const DiffAmount& older = site.amounts.older;
  const DiffAmount& newer = site.amounts.newer;
  std::string words;
  if (site.by_names)
    words = "recognized by its functions: the code was built anew, or has no build id";
  if (older.sites <= 1 && newer.sites <= 1) return words;
  if (!words.empty()) words += "; ";
  return words + fmt::format("{} of the old recording and {} of the new one are taken together",
                             at_sites(older), newer.sites);
}

}  // namespace leaktrace::output
