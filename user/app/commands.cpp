// SPDX-License-Identifier: Apache-2.0
#include "user/app/commands.h"

#include <unistd.h>

#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "user/app/debug_files.h"
#include "user/app/doctor.h"
#include "user/app/live_trace.h"
#include "user/app/privileges.h"
#include "user/app/probe_listing.h"
#include "user/app/replayed_trace.h"
#include "user/app/reporting.h"
#include "user/app/workers.h"
#include "user/base/log.h"
#include "user/collect/recording.h"
#include "user/model/trace.h"
#include "user/symbolize/remote_symbolizer.h"

namespace leaktrace::app {
namespace {

/// Exit status when --fail-on has found what it was asked for.
constexpr int kFlaggedStatus = 3;

using FrameVisitor = std::function<Result<void>(const model::RawFrame&)>;

/// Each frame of a file that the trace has no name of yet, once.
Result<void> each_nameless_frame(const model::Trace& trace, const FrameVisitor& visit) {
  std::set<std::pair<model::ModuleId, std::uint64_t>> seen;
  for (const auto& [id, stack] : trace.stacks()) {
    for (const model::RawFrame& frame : stack.frames) {
      if (frame.module.value == 0 || trace.names(frame.module, frame.offset) != nullptr) continue;
      if (!seen.emplace(frame.module, frame.offset).second) continue;
      if (auto visited = visit(frame); !visited) return visited;
    }
  }
  return {};
}

/// Puts the names of all frames into a recording, so that it can be read where the files are not,
/// and what could not be read of the files.
Result<void> record_names(const model::Trace& trace, symbolize::Symbolizer& symbolizer,
                          collect::RecordSink& sink) {
  if (symbolizer.debuginfod() != nullptr) {  // asks for the files
    auto asked = each_nameless_frame(trace, [&](const model::RawFrame& frame) -> Result<void> {
      (void)symbolizer.look_up(frame.module, frame.offset - 1);
      return {};
    });
    if (!asked) return asked;
    await_debug_files(symbolizer);
  }
  auto named = each_nameless_frame(trace, [&](const model::RawFrame& frame) {
    return sink.accept(model::FrameNames{frame.module, frame.offset,
                                         symbolizer.look_up(frame.module, frame.offset - 1)});
  });
  if (!named) return named;
  for (const model::FileLoss& loss : symbolizer.file_losses()) {
    if (auto written = sink.accept(loss); !written) return written;
  }
  return {};
}

/// Holds back the end of the trace, so that the names go before it.
class RecordingSink final : public collect::RecordSink {
 public:
  RecordingSink(collect::RecordSink& file, const model::Trace& trace,
                symbolize::Symbolizer& symbolizer)
      : file_(file), trace_(trace), symbolizer_(symbolizer) {}

  Result<void> accept(const model::Record& record) override {
    if (std::holds_alternative<model::TraceEnd>(record)) {
      auto named = record_names(trace_, symbolizer_, file_);
      if (!named) return named;
    }
    return file_.accept(record);
  }

 private:
  collect::RecordSink& file_;
  const model::Trace& trace_;
  symbolize::Symbolizer& symbolizer_;
};

/// The file that a report goes to; empty: none.
std::string output_file(const ReportOptionsLine& options) {
  return options.output == "-" ? std::string() : options.output;
}

LiveTraceConfig config_of(const Target& target, const TraceOptions& trace,
                          const std::vector<model::Kind>& kinds) {
  LiveTraceConfig config;
  config.target = target;
  config.trace = trace;
  config.kinds = kinds;
  config.kinds_told = !kinds.empty();
  return config;
}

}  // namespace

Result<int> run_command(const TraceCommand& command) {
  auto workers = make_workers();
  if (!workers) return workers.unexpected();
  symbolize::Symbolizer& symbolizer = *workers->symbolizer;
  model::Trace trace;
  bool started_command = !command.target.command.empty();
  // A started command's standard output is its own.
  auto reporter =
      Reporter::create(command.report, started_command ? STDERR_FILENO : STDOUT_FILENO, symbolizer);
  if (!reporter) return reporter.unexpected();

  LiveTraceConfig config = config_of(command.target, command.trace, command.report.kinds);
  config.min_size = command.report.min_size;
  config.max_size = command.report.max_size;
  bool prints_intervals =
      command.report.each_interval || (!command.trace.quiet && !started_command);
  config.output = output_file(command.report);
  config.walk_each_interval =
      prints_intervals && (command.report.older_seconds.has_value() || command.report.show_blocks);
  collect::TraceSink sink(trace);
  auto live = LiveTrace::create(std::move(config),
                                {.sink = sink, .workers = *workers, .on_interval = [&] {
                                   return !prints_intervals || reporter->print_interval(trace);
                                 }});
  if (!live) return live.unexpected();
  if (auto started = (*live)->start(); !started) return started.unexpected();
  auto traced = (*live)->run();
  if (!traced) {
    (void)(*live)->wait_for_command();
    return traced.unexpected();
  }
  auto written = reporter->write_final(trace, false);
  int status = (*live)->wait_for_command().value_or(0);
  if (!written) return written.unexpected();
  return reporter->flagged() ? kFlaggedStatus : status;
}

Result<int> run_command(const RecordCommand& command) {
  auto workers = make_workers();
  if (!workers) return workers.unexpected();
  symbolize::Symbolizer& symbolizer = *workers->symbolizer;
  if (command.debuginfod) {
    if (auto used = use_debuginfod(symbolizer); !used) return used.unexpected();
  }
  model::Trace trace;
  auto file = collect::RecordingWriter::create(command.file);
  if (!file) return file.unexpected();
  LiveTraceConfig config = config_of(command.target, command.trace, command.kinds);
  config.min_size = command.min_size;
  config.max_size = command.max_size;
  config.output = command.file;

  collect::TraceSink model_sink(trace);
  RecordingSink file_sink(**file, trace, symbolizer);
  collect::TeeSink sink({&model_sink, &file_sink});
  auto live =
      LiveTrace::create(std::move(config), {.sink = sink, .workers = *workers, .on_interval = {}});
  if (!live) return live.unexpected();
  if (auto started = (*live)->start(); !started) return started.unexpected();
  auto traced = (*live)->run();
  auto closed = (*file)->close();
  int status = (*live)->wait_for_command().value_or(0);
  if (!traced) return traced.unexpected();
  if (!closed) return closed.unexpected();
  if ((*file)->failed()) return 1;  // told when it happened
  log::info("recorded into {}: leaktrace report {} shows it", command.file, command.file);
  return status;
}

Result<int> run_command(const ReportCommand& command) {
  auto symbols = symbolize::RemoteSymbolizer::create();  // forks: first of all
  if (!symbols) return symbols.unexpected();
  symbolize::Symbolizer& symbolizer = **symbols;
  auto reporter = Reporter::create(command.report, STDOUT_FILENO, symbolizer);
  if (!reporter) return reporter.unexpected();
  auto given_up = give_up_privileges({.output = output_file(command.report)});
  if (!given_up) return given_up.unexpected();
  auto replayed = replay_recording(command.file, symbolizer);
  if (!replayed) return replayed.unexpected();
  auto written = reporter->write_final(replayed->trace, replayed->cut_off);
  if (!written) return written.unexpected();
  return reporter->flagged() ? kFlaggedStatus : 0;
}

Result<int> run_command(const DoctorCommand& command) {
  if (!command.probes.empty()) {
    auto workers = make_workers();
    if (!workers) return workers.unexpected();
    auto listing = list_probes(command.probes, *workers->elf);
    if (!listing) return listing.unexpected();
    std::string text = command.json ? probe_listing_json(*listing) : probe_listing_text(*listing);
    if (auto written = write_all(STDOUT_FILENO, text); !written) return written.unexpected();
    return 0;
  }
  auto diagnosis = diagnose();
  if (!diagnosis) return diagnosis.unexpected();
  std::string text = command.json ? doctor_json(*diagnosis) : doctor_text(*diagnosis);
  if (auto written = write_all(STDOUT_FILENO, text); !written) return written.unexpected();
  return diagnosis->can_trace() ? 0 : 1;
}

}  // namespace leaktrace::app
