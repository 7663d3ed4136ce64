// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/estimates.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_layout.h"
#include "user/output/text_memory.h"
#include "user/output/text_parts.h"
#include "user/output/text_postgres.h"
#include "user/output/text_suppressions.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using analyze::human_byte_rate;
using analyze::human_bytes;
using analyze::human_seconds;

constexpr std::size_t kMostBlocks = 20;
constexpr std::size_t kMostTargets = 5;

std::string share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return {};
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return percent > 0 && percent < 0.05 ? " (< 0.1 %)" : fmt::format(" ({:.1f} %)", percent);
}

// ---- Head -------------------------------------------------------------------------------------

std::string shown_words(const analyze::Report& report) {
  const auto shown = static_cast<std::size_t>(std::ranges::count_if(
      report.sites, [](const auto& site) { return !model::is_postgres(site.kind); }));
  if (shown + report.suppressed_sites >= report.all_sites) return {};
  if (shown == 1) return "; the largest is shown";
  return fmt::format("; the {} largest are shown", shown);
}

std::string total_words(const analyze::Report& report) {
  std::string words =
      fmt::format("{} outstanding in {}{} at {}", human_bytes(report.all_outstanding_bytes),
                  report.all_estimate ? "about " : "",
                  counted(report.all_outstanding_count, "resource", "resources"),
                  counted(report.all_sites, "call site", "call sites"));
  if (report.all_estimate) {
    words += fmt::format(" ({} with 95 % confidence{})", byte_limits(report.all_estimate->bytes),
                         was_paused(report) ? ", of what was observed" : "");
  }
  return words + shown_words(report);
}

std::string head(const analyze::Report& report) {
  std::string out = fmt::format("leaktrace {}\n", printable(report.tool_version));
  out += head_line("target", target_words(report, kMostTargets));
  out += head_line("period", period_words(report));
  out += head_line("mode", mode_words(report));
  if (!report.filters.empty()) out += head_line("filters", report.filters);
  const std::string postgres = postgres_total_words(report);
  const bool memory = report.all_sites > 0 || report.all_estimate || postgres.empty();
  if (memory) out += head_line("total", total_words(report));
  if (!postgres.empty()) out += head_line(memory ? "" : "total", postgres);
  if (report.growing_sites > 0) out += head_line("verdict", growing_words(report));
  return out + memory_lines(report) + not_seen_lines(report, "");
}

// ---- Sites ------------------------------------------------------------------------------------

std::string oldest_words(const analyze::ReportSite& site) {
  return fmt::format("oldest {}{}{}", site.estimate && site.estimate->samples > 0 ? "sample " : "",
                     site.oldest_exact ? "" : "<= ", human_seconds(site.oldest_seconds));
}

std::string amount_words(const analyze::ReportSite& site, std::uint64_t all_bytes) {
  return fmt::format("{}{} outstanding in {}{}, {}{}, {}", human_bytes(site.outstanding_bytes),
                     share(site.outstanding_bytes, all_bytes), site.estimate ? "about " : "",
                     resources(site.kind, site.outstanding_count),
                     human_byte_rate(site.bytes_per_second),
                     count_rate(site.kind, site.count_per_second), oldest_words(site));
}

std::string total_of_site(const analyze::ReportSite& site) {
  const bool sampled = site.total.estimate.acquired_samples > 0;
  return fmt::format(
      "acquired {}{} in {}, released {} in {}", sampled ? "about " : "",
      human_bytes(site.total.acquired_bytes), resources(site.kind, site.total.acquired_count),
      human_bytes(site.total.released_bytes), resources(site.kind, site.total.released_count));
}

std::string verdict_line(const analyze::ReportSite& site) {
  if (site.verdict == analyze::Verdict::undecided) return {};
  // A tenth of a percent is the step that is shown; 100 % sure is nobody.
  const double percent = std::min(std::floor(site.confidence * 1000) / 10, 99.9);
  return paragraph(std::string(kIndent, ' '),
                   fmt::format("{} ({:.1f} % sure): {}", analyze::verdict_name(site.verdict),
                               percent, printable(site.evidence)));
}

std::string site_numbers(const analyze::ReportSite& site, std::uint64_t all_bytes) {
  const std::string indent(kIndent, ' ');
  if (model::is_postgres(site.kind)) return postgres_site_lines(site) + verdict_line(site);
  std::string out;
  for (const std::string& words :
       {amount_words(site, all_bytes), estimate_words(site, many_of(site.kind)),
        unseen_words(site, many_of(site.kind)), total_of_site(site)}) {
    if (!words.empty()) out += paragraph(indent, words);
  }
  return out + verdict_line(site);
}

/// Of a sample; empty for a block that stands for itself.
std::string stands_for(const analyze::ReportBlock& block) {
  if (std::abs(block.stands_for - 1) < 0.005) return {};
  return fmt::format(", stands for {:.{}f}", block.stands_for, block.stands_for < 10 ? 2 : 0);
}

std::string block_lines(const analyze::ReportSite& site) {
  std::string out;
  const std::size_t shown = std::min(site.blocks.size(), kMostBlocks);
  for (std::size_t i = 0; i < shown; ++i) {
    const analyze::ReportBlock& block = site.blocks[i];
    out +=
        fmt::format("{}block {:#018x}  {:>10}  {} old{}\n", std::string(kIndent, ' '), block.handle,
                    human_bytes(block.size), human_seconds(block.age_seconds), stands_for(block));
  }
  if (shown < site.blocks.size()) {
    out += paragraph(std::string(kIndent, ' '),
                     fmt::format("… and {}; the JSON report lists them all",
                                 counted(site.blocks.size() - shown, "block more", "blocks more")));
  }
  return out;
}

std::string site_lines(const analyze::ReportSite& site, std::size_t rank,
                       const analyze::Report& report) {
  const std::string prefix = fmt::format("{:>2}. ", rank);
  std::string owner = fmt::format("  [{}", model::kind_name(site.kind));
  if (report.targets.size() != 1) owner += ", " + owner_words(site);
  owner += ']';
  const std::size_t width = kWidth - columns(prefix) - std::min(columns(owner), kWidth / 2);
  std::string out = '\n' + prefix + shorten_function(printable(site.label), width) + owner + '\n';
  out += site_numbers(site, report.all_outstanding_bytes);
  out += stack_lines(site);
  return out + block_lines(site);
}

// ---- Foot -------------------------------------------------------------------------------------

std::string foot(const analyze::Report& report) {
  std::string out;
  if (report.probe_hits > 0 && report.nanoseconds_per_hit > 0) {
    out += fmt::format("overhead: {} probe hits of {:.0f} ns, {:.2g} % of the target's CPU time\n",
                       report.probe_hits, report.nanoseconds_per_hit, report.percent_of_target_cpu);
  }
  for (const analyze::ReportTarget& target : report.targets) {
    if (!target.exited) continue;
    out += fmt::format("{} ({}) {}\n", printable(target.comm), target.pid, exit_words(target));
  }
  if (report.cut_off) {
    out += paragraph("",
                     "this recording is cut off: it ends in the middle, and the report shows "
                     "the last moment that it holds");
  }
  if (report.stacks_recycled > 0) {
    out += paragraph("", fmt::format("{} with nothing outstanding made room for others in the full "
                                     "tables; --max-stacks and --max-sites set their size",
                                     counted(report.stacks_recycled, "call stack", "call stacks")));
  }
  return out + loss_section(report, "");
}

}  // namespace

std::string write_text(const analyze::Report& report) {
  std::string out = head(report);
  if (report.sites.empty() && report.all_sites == 0) {
    out +=
        report.sampling_bytes > 0 ? "\nno sample is outstanding\n" : "\nnothing is outstanding\n";
  }
  for (std::size_t i = 0; i < report.sites.size(); ++i) {
    out += site_lines(report.sites[i], i + 1, report);
  }
  if (const std::string connections = connection_lines(report); !connections.empty()) {
    out += '\n' + connections;
  }
  return out + '\n' + suppression_lines(report) + foot(report);
}

}  // namespace leaktrace::output
