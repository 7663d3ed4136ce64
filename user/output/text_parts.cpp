// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "user/analyze/label.h"
#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_layout.h"

namespace leaktrace::output {
namespace {

using analyze::human_seconds;

constexpr std::size_t kMostFileLosses = 10;
constexpr std::size_t kMostNotSeen = 5;

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

std::string loss_lines(const model::Losses& losses, std::string_view where) {
  std::string out;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (losses[i] == 0) continue;
    out += paragraph(fmt::format("  {:>10}  {:<18}  ", losses[i], model::kLossNames[i]),
                     loss_meaning(model::kLossNames[i]));
  }
  return out.empty() ? out : fmt::format("losses{}\n", where) + out;
}

std::string file_loss_words(const model::FileLoss& loss) {
  std::string words = printable(loss.path) + ": ";
  if (loss.count > 0) words += fmt::format("{} left out: ", loss.count);
  return words + printable(loss.why);
}

std::string file_loss_lines(const std::vector<model::FileLoss>& losses, std::string_view where) {
  std::string out =
      fmt::format("files{} that could not be read or probed, or not all of them\n", where);
  for (std::size_t i = 0; i < std::min(losses.size(), kMostFileLosses); ++i) {
    out += paragraph(fmt::format("  {:<8}  ", subject_name(losses[i].subject)),
                     file_loss_words(losses[i]));
  }
  if (losses.size() > kMostFileLosses) {
    out += fmt::format("  … and {} more\n", losses.size() - kMostFileLosses);
  }
  return out;
}

}  // namespace

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

std::string growing_words(const analyze::Report& report) {
  std::string words = counted(report.growing_sites, "call site grows", "call sites grow");
  if (report.growing_bytes_per_second > 0) {
    words += fmt::format(", {}{}", analyze::human_byte_rate(report.growing_bytes_per_second),
                         report.growing_sites == 1 ? "" : " together");
  }
  return words;
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

std::string not_seen_lines(const analyze::Report& report, std::string_view where) {
  std::string out;
  for (std::size_t i = 0; i < std::min(report.not_seen.size(), kMostNotSeen); ++i) {
    out += head_line(i == 0 ? "unseen" : "",
                     not_seen_sentence(report.not_seen[i]) + std::string(where));
  }
  if (report.not_seen.size() > kMostNotSeen) {
    out += head_line("", fmt::format("… and {} more", report.not_seen.size() - kMostNotSeen));
  }
  return out;
}

std::string loss_section(const analyze::Report& report, std::string_view where) {
  std::string out = loss_lines(report.losses, where);
  if (!report.file_losses.empty()) out += file_loss_lines(report.file_losses, where);
  return out.empty() ? fmt::format("no losses{}\n", where) : out;
}

}  // namespace leaktrace::output
