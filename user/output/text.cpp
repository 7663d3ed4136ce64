// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "user/analyze/label.h"
#include "user/analyze/words.h"
#include "user/output/estimates.h"
#include "user/output/printable.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_layout.h"
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
constexpr std::size_t kMostFileLosses = 10;

std::string share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return {};
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return percent > 0 && percent < 0.05 ? " (< 0.1 %)" : fmt::format(" ({:.1f} %)", percent);
}

// ---- Head -------------------------------------------------------------------------------------

std::string head_line(const std::string& name, std::string_view text) {
  return paragraph(fmt::format("  {:<8}", name), text);
}

std::string period_words(const analyze::Report& report) {
  std::string start = utc_time(report.start_unix_ns);
  std::replace(start.begin(), start.end(), 'T', ' ');
  start.pop_back();  // the Z
  return fmt::format("{} from {} UTC, {}{}", human_seconds(report.seconds), start,
                     counted(report.intervals, "reading", "readings"),
                     report.final || report.cut_off ? "" : "; tracing goes on");
}

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
  return out;
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

/// "file:line  (module)", as much of it as is known.
std::string place(const analyze::ReportFrame& frame, std::size_t width) {
  std::string module = printable(analyze::base_name(frame.module));
  if (!module.empty()) module = fmt::format("({})", shorten_path(module, width / 3));
  if (frame.source.inlined) module += module.empty() ? "[inlined]" : " [inlined]";
  if (frame.source.file.empty()) return module;
  std::string line = frame.source.line > 0 ? fmt::format(":{}", frame.source.line) : "";
  const std::size_t taken = columns(line) + (module.empty() ? 0 : 2 + columns(module));
  line = shorten_path(printable(frame.source.file), width - taken) + line;
  return module.empty() ? line : line + "  " + module;
}

/// One line, or two where function and place do not fit in one.
std::string frame_lines(const analyze::ReportFrame& frame, std::size_t number) {
  const std::string prefix =
      fmt::format("{}{:<4} ", std::string(kIndent, ' '), fmt::format("#{}", number));
  const std::size_t width = kWidth - columns(prefix);
  const bool known = !frame.source.function.empty();
  const std::string function = shorten_function(
      printable(known ? frame.source.function : analyze::frame_name(frame)), width);
  const std::string where = place(frame, width);
  if (where.empty()) return prefix + function + '\n';
  if (columns(function) + 2 + columns(where) <= width) {
    return prefix + function + "  " + where + '\n';
  }
  return prefix + function + '\n' + std::string(columns(prefix), ' ') + where + '\n';
}

std::string stack_lines(const analyze::ReportSite& site) {
  // The way from the allocator to whoever called it is the same at every site: its ends are shown.
  const std::size_t naming = analyze::naming_frame(site.stack);
  const bool collapse = naming >= 4;
  std::string out;
  for (std::size_t i = 0; i < site.stack.size(); ++i) {
    if (collapse && i == 1) {
      out += fmt::format(
          "{}     … {} frames of the allocator, the standard library or the interpreter\n",
          std::string(kIndent, ' '), naming - 2);
      i = naming - 1;
    }
    out += frame_lines(site.stack[i], i);
  }
  for (const std::string& words : {stack_cut_words(site), stack_guess_words(site)}) {
    if (!words.empty()) out += paragraph(std::string(kIndent, ' ') + "---- ", words);
  }
  return out;
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

std::string loss_lines(const model::Losses& losses) {
  std::string out;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (losses[i] == 0) continue;
    out += paragraph(fmt::format("  {:>10}  {:<18}  ", losses[i], model::kLossNames[i]),
                     loss_meaning(model::kLossNames[i]));
  }
  return out.empty() ? out : "losses\n" + out;
}

std::string file_loss_words(const model::FileLoss& loss) {
  std::string words = printable(loss.path) + ": ";
  if (loss.count > 0) words += fmt::format("{} left out: ", loss.count);
  return words + printable(loss.why);
}

std::string file_loss_lines(const std::vector<model::FileLoss>& losses) {
  std::string out = "files that could not be read or probed, or not all of them\n";
  for (std::size_t i = 0; i < std::min(losses.size(), kMostFileLosses); ++i) {
    out += paragraph(fmt::format("  {:<8}  ", subject_name(losses[i].subject)),
                     file_loss_words(losses[i]));
  }
  if (losses.size() > kMostFileLosses) {
    out += fmt::format("  … and {} more\n", losses.size() - kMostFileLosses);
  }
  return out;
}

std::string all_losses(const analyze::Report& report) {
  std::string out = loss_lines(report.losses);
  if (!report.file_losses.empty()) out += file_loss_lines(report.file_losses);
  return out.empty() ? "no losses\n" : out;
}

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
  return out + all_losses(report);
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
