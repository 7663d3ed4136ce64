// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "user/base/printable.h"
#include "user/output/diff_words.h"
#include "user/output/diff_writers.h"
#include "user/output/estimates.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_layout.h"
#include "user/output/text_parts.h"
#include "user/output/text_postgres.h"

namespace leaktrace::output {
namespace {

using analyze::Diff;
using analyze::DiffDirection;
using analyze::DiffSite;

constexpr std::size_t kMostTargets = 5;

// ---- Head -------------------------------------------------------------------------------------

std::string recording_lines(const std::string& which, const analyze::DiffRecording& recording) {
  const analyze::Report& report = recording.report;
  std::string out = head_line(
      which, fmt::format("{}: {}", printable(recording.name), target_words(report, kMostTargets)));
  out += head_line("", period_words(report) + "; " + mode_words(report));
  if (!report.filters.empty()) out += head_line("", report.filters);
  return out;
}

std::string head(const Diff& diff) {
  std::string out = fmt::format("leaktrace {}\n", printable(diff.tool_version));
  out += recording_lines("old", diff.older);
  out += recording_lines("new", diff.newer);
  out += head_line("amounts", length_words(diff));
  for (const auto& [kind, sums] : diff.kinds) {
    // A name that leaves no room for a blank stands alone.
    const std::string name(model::kind_name(kind));
    const bool fits = name.size() < 8;
    if (!fits) out += "  " + name + '\n';
    out += head_line(fits ? name : "", kind_words(kind, sums.amounts));
    out += head_line("", change_words(kind, sums));
  }
  return out;
}

// ---- Sites ------------------------------------------------------------------------------------

/// Label and kind in one line, for both ways to show a site; `words` stand in the brackets.
std::string heading(const DiffSite& site, const std::string& prefix, std::string_view words,
                    bool several) {
  std::string owner = fmt::format("  [{}{}", model::kind_name(site.site.kind), words);
  if (several && site.site.pid != 0) owner += ", " + printable(site.site.comm);
  owner += ']';
  const std::size_t width = kWidth - columns(prefix) - std::min(columns(owner), kWidth / 2);
  return prefix + shorten_function(printable(site.site.label), width) + owner + '\n';
}

/// Whether it must be said which program a site belongs to.
bool has_several_programs(const Diff& diff) {
  const auto several = [](const analyze::Report& report) {
    return std::ranges::any_of(report.targets, [&](const analyze::ReportTarget& target) {
      return target.comm != report.targets.front().comm;
    });
  };
  return several(diff.older.report) || several(diff.newer.report);
}

std::string site_lines(const DiffSite& site, std::size_t rank, bool several) {
  const std::string indent(kIndent, ' ');
  std::string out = '\n' + heading(site, fmt::format("{:>2}. ", rank),
                                   fmt::format(", {}", analyze::change_name(site.change)), several);
  for (const std::string& words :
       {amount_words(site), limit_words(site), rate_words(site), match_words(site)}) {
    if (!words.empty()) out += paragraph(indent, words);
  }
  if (model::is_postgres(site.site.kind)) out += postgres_detail_lines(site.site);
  return out + stack_lines(site.site);
}

/// One that may have changed, without its stack: there is nothing to look at yet.
std::string doubtful_lines(const DiffSite& site, bool several) {
  const std::string indent(kIndent, ' ');
  std::string out = heading(site, indent, ", same (within sampling)", several);
  return out + paragraph(indent + "  ", amount_words(site) + "; " + limit_words(site));
}

/// A stretch of the list under one title.
struct Part {
  bool postgres = false;
  DiffDirection direction = DiffDirection::more;

  [[nodiscard]] bool holds(const DiffSite& site) const {
    return model::is_postgres(site.site.kind) == postgres &&
           analyze::direction_of(site.change) == direction &&
           (direction != DiffDirection::same || site.within_sampling);
  }
};

std::string title_of(const Part& part) {
  const std::string whose = part.postgres ? "PostgreSQL: " : "";
  switch (part.direction) {
    case DiffDirection::more:
      return whose + "grew or appeared";
    case DiffDirection::less:
      return whose + "shrank or gone";
    case DiffDirection::same:
      break;
  }
  return whose + "may have changed: the difference is within what sampling leaves unknown";
}

/// The sites of a part, those that `top` cut too.
std::uint64_t size_of(const Part& part, const Diff& diff) {
  std::uint64_t sites = 0;
  for (const auto& [kind, sums] : diff.kinds) {
    if (model::is_postgres(kind) != part.postgres) continue;
    for (const auto& [change, sum] : sums.changes) {
      if (analyze::direction_of(change) != part.direction) continue;
      sites += part.direction == DiffDirection::same ? sum.within_sampling : sum.sites;
    }
  }
  return sites;
}

/// `rank`: of the site before; counts on.
std::string part_lines(const Part& part, const Diff& diff, std::size_t& rank) {
  const std::uint64_t all = size_of(part, diff);
  if (all == 0) return {};
  const bool several = has_several_programs(diff);
  std::string out = '\n' + title_of(part) + '\n';
  std::uint64_t shown = 0;
  for (const DiffSite& site : diff.sites) {
    if (!part.holds(site)) continue;
    ++shown;
    out += part.direction == DiffDirection::same ? doubtful_lines(site, several)
                                                 : site_lines(site, ++rank, several);
  }
  if (shown < all) {
    out += fmt::format("\n    … and {}; --top N shows more\n",
                       counted(all - shown, "call site more", "call sites more"));
  }
  return out;
}

// ---- Foot -------------------------------------------------------------------------------------

std::string cut_off_line(std::string_view which, const analyze::Report& report) {
  if (!report.cut_off) return {};
  return paragraph("", fmt::format("the {} recording is cut off: it ends in the middle, and is "
                                   "compared by the last moment that it holds",
                                   which));
}

std::string foot(const Diff& diff) {
  return cut_off_line("old", diff.older.report) + cut_off_line("new", diff.newer.report) +
         not_seen_lines(diff.older.report, " (the old recording)") +
         not_seen_lines(diff.newer.report, " (the new recording)") +
         loss_section(diff.older.report, " in the old recording") +
         loss_section(diff.newer.report, " in the new recording");
}

}  // namespace

std::string write_diff_text(const analyze::Diff& diff) {
  std::string out = head(diff);
  std::size_t rank = 0;
  std::string parts;
  for (const bool postgres : {false, true}) {
    for (const DiffDirection direction :
         {DiffDirection::more, DiffDirection::less, DiffDirection::same}) {
      parts += part_lines({postgres, direction}, diff, rank);
    }
  }
  if (diff.kinds.empty()) parts = "\nnothing is outstanding in either recording\n";
  if (parts.empty()) parts = "\nno difference\n";
  return out + parts + '\n' + foot(diff);
}

}  // namespace leaktrace::output
