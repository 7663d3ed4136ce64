// SPDX-License-Identifier: Apache-2.0
#include "user/app/reporting.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "user/analyze/top_sites.h"
#include "user/app/debug_files.h"
#include "user/app/suppression_file.h"
#include "user/base/file.h"
#include "user/base/log.h"
#include "user/output/reasons.h"
#include "user/output/text_flagged.h"

namespace leaktrace::app {
namespace {

constexpr std::size_t kTopOfText = 10;

/// In UTC.
std::chrono::sys_days today() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
}

// Of a recording the losses of when it was taken are there already.
void add_file_losses(std::vector<model::FileLoss>& losses, std::vector<model::FileLoss> more) {
  for (model::FileLoss& loss : more) {
    const bool known = std::ranges::any_of(losses, [&](const model::FileLoss& other) {
      return other.path == loss.path && other.subject == loss.subject;
    });
    if (!known) losses.push_back(std::move(loss));
  }
}

// A pipe whose other end was closed.
bool has_no_reader(int fd) {
  pollfd poll{.fd = fd, .events = 0, .revents = 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & POLLERR) != 0;
}

}  // namespace

analyze::Namer make_namer(symbolize::Symbolizer& symbolizer) {
  return [&symbolizer](const model::Trace& trace, const model::RawFrame& frame) {
    if (const auto* names = trace.names(frame.module, frame.offset)) return *names;
    if (frame.module.value == 0) return std::vector<model::SourceFrame>(1);
    return symbolizer.look_up(frame.module, frame.offset - 1);
  };
}

Result<analyze::Report> named_report(const model::Trace& trace,
                                     const analyze::ReportOptions& options,
                                     symbolize::Symbolizer& symbolizer) {
  auto report = analyze::build_report(trace, options, make_namer(symbolizer));
  if (report) add_file_losses(report->file_losses, symbolizer.file_losses());
  return report;
}

Result<std::optional<AtomicFile>> open_output(const std::string& path) {
  if (path.empty() || path == "-") return std::optional<AtomicFile>();
  auto file = AtomicFile::create(path);
  if (!file) return file.unexpected();
  return std::optional<AtomicFile>(std::move(*file));
}

Reporter::Reporter(const ReportOptionsLine& options, int terminal,
                   symbolize::Symbolizer& symbolizer)
    : options_(options), symbolizer_(symbolizer), terminal_(terminal) {}

Result<Reporter> Reporter::create(const ReportOptionsLine& options, int terminal,
                                  symbolize::Symbolizer& symbolizer) {
  if (options.debuginfod) {
    if (auto used = use_debuginfod(symbolizer); !used) return used.unexpected();
  }
  Reporter reporter(options, terminal, symbolizer);
  auto format = output::find_format(options.format);
  if (!format) return format.unexpected();
  reporter.format_ = *format;
  auto suppressions = read_suppressions(options.suppressions);
  if (!suppressions) return suppressions.unexpected();
  reporter.suppressions_ = std::move(*suppressions);
  auto file = open_output(options.output);
  if (!file) return file.unexpected();
  reporter.file_ = std::move(*file);
  return reporter;
}

std::optional<std::size_t> Reporter::top() const {
  if (!options_.top && options_.format == "text") return kTopOfText;
  return options_.top;
}

Result<analyze::Report> Reporter::build(const model::Trace& trace, bool last) const {
  analyze::ReportOptions options;
  const bool all = !suppressions_.empty() || (last && options_.fail_on);
  if (!all) options.top = top();  // names of functions are dear: no more than are shown
  options.older_seconds = options_.older_seconds;
  options.kinds = options_.kinds;
  options.show_blocks = options_.show_blocks;
  // A live trace has these sizes only; a recording may hold more.
  if (options_.min_size > trace.start().min_size) options.min_size = options_.min_size;
  if (options_.max_size < trace.start().max_size) options.max_size = options_.max_size;
  auto report = named_report(trace, options, symbolizer_);
  if (report) suppressions_.apply(*report, today());
  return report;
}

void Reporter::cut(analyze::Report& report) const {
  if (const auto most = top()) analyze::keep_top(report, *most);
}

void Reporter::judge(const analyze::Report& report) {
  if (!options_.fail_on) return;
  const auto flagged = analyze::flagged_sites(report, *options_.fail_on);
  flagged_ = !flagged.empty();
  for (const std::string& line : output::flagged_lines(flagged)) log::error("{}", line);
  if (!flagged_ && analyze::is_all_undecided(report)) {
    log::warning("--fail-on flags nothing because every call site is undecided: trace for longer");
  }
  if (!flagged_ && !report.not_seen.empty()) {
    log::warning("--fail-on flags nothing of what is not seen: {}", output::not_seen_words(report));
  }
}

void Reporter::warn(const Error& error) {
  if (!std::exchange(warned_, true)) log::warning("a report was not written: {}", error.message());
}

// Of what was written in the background.
bool Reporter::see_outcome() {
  const Result<void> written = writing_->take_outcome();
  if (written) return true;
  if (!file_ && has_no_reader(terminal_)) return false;
  warn(written.error());
  return true;
}

bool Reporter::print_interval(const model::Trace& trace) {
  /// Most reports are written at once, and then it is known at once that nobody reads them.
  constexpr std::chrono::milliseconds kMoment{100};
  const bool to_file = file_ && options_.each_interval;
  if (!to_file && (file_ || options_.format != "text")) return true;
  if (!writing_) writing_ = std::make_unique<BackgroundJob>();
  if (writing_->is_busy()) {
    if (!std::exchange(told_slow_, true)) {
      log::warning("reports are left out: what reads them does not keep up");
    }
    return true;
  }
  if (!see_outcome()) return false;
  auto report = build(trace, false);
  if (!report) {
    log::debug("{}", report.error().message());
    return true;
  }
  cut(*report);
  // On the terminal a line apart, for the next one follows.
  AtomicFile* file = to_file ? &*file_ : nullptr;
  const bool begun = writing_->begin(
      [file, terminal = terminal_, text = format_->write(*report)]() -> Result<void> {
        return file != nullptr ? file->commit(text) : write_all(terminal, text + "\n");
      });
  return !begun || !writing_->wait_for(kMoment) || see_outcome();
}

Result<void> Reporter::write_final(const model::Trace& trace, bool cut_off) {
  if (writing_) writing_->wait();
  auto report = build(trace, true);
  if (report && await_debug_files(symbolizer_)) report = build(trace, true);
  if (!report) return report.unexpected();
  report->final = true;
  report->cut_off = cut_off;
  judge(*report);
  cut(*report);
  // Folded stacks have no room for words.
  for (const model::NotSeen& one : report->not_seen) {
    if (options_.format == "folded") log::warning("{}", output::not_seen_sentence(one));
  }
  std::string text = format_->write(*report);
  int fd = options_.output == "-" ? 1 : terminal_;
  return file_ ? file_->commit(text) : write_all(fd, text);
}

}  // namespace leaktrace::app
