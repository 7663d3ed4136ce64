// SPDX-License-Identifier: Apache-2.0
#include "user/app/reporting.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "user/app/debug_files.h"
#include "user/base/log.h"

namespace leaktrace::app {
namespace {

constexpr std::size_t kTopOfText = 10;

// Of a recording the losses of when it was taken are there already.
void add_file_losses(std::vector<model::FileLoss>& losses, std::vector<model::FileLoss> more) {
  for (model::FileLoss& loss : more) {
    const bool known = std::ranges::any_of(losses, [&](const model::FileLoss& other) {
      return other.path == loss.path && other.subject == loss.subject;
    });
    if (!known) losses.push_back(std::move(loss));
  }
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
  auto file = open_output(options.output);
  if (!file) return file.unexpected();
  reporter.file_ = std::move(*file);
  return reporter;
}

Result<analyze::Report> Reporter::build(const model::Trace& trace) const {
  analyze::ReportOptions options;
  options.top = options_.top;
  if (!options.top && options_.format == "text") options.top = kTopOfText;
  options.older_seconds = options_.older_seconds;
  options.kinds = options_.kinds;
  options.show_blocks = options_.show_blocks;
  // A live trace has these sizes only; a recording may hold more.
  if (options_.min_size > trace.start().min_size) options.min_size = options_.min_size;
  if (options_.max_size < trace.start().max_size) options.max_size = options_.max_size;
  return named_report(trace, options, symbolizer_);
}

void Reporter::print_interval(const model::Trace& trace) {
  const bool to_file = file_ && options_.each_interval;
  if (!to_file && (file_ || options_.format != "text")) return;
  auto report = build(trace);
  if (!report) {
    log::debug("{}", report.error().message());
    return;
  }
  if (to_file) {
    if (auto written = file_->commit(format_->write(*report)); !written) {
      log::debug("{}", written.error().message());
    }
    return;
  }
  // A line apart, for the next one follows.
  if (auto written = write_all(terminal_, format_->write(*report) + "\n"); !written) {
    log::debug("{}", written.error().message());
  }
}

Result<void> Reporter::write_final(const model::Trace& trace, bool cut_off) {
  auto report = build(trace);
  if (report && await_debug_files(symbolizer_)) report = build(trace);
  if (!report) return report.unexpected();
  report->final = true;
  report->cut_off = cut_off;
  std::string text = format_->write(*report);
  int fd = options_.output == "-" ? 1 : terminal_;
  return file_ ? file_->commit(text) : write_all(fd, text);
}

}  // namespace leaktrace::app
