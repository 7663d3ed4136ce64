// SPDX-License-Identifier: Apache-2.0
// leaktrace diff OLD NEW.
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "user/analyze/diff.h"
#include "user/app/commands.h"
#include "user/app/debug_files.h"
#include "user/app/privileges.h"
#include "user/app/replayed_trace.h"
#include "user/app/reporting.h"
#include "user/app/version.h"
#include "user/base/file.h"
#include "user/output/diff_format.h"
#include "user/symbolize/remote_symbolizer.h"

namespace leaktrace::app {
namespace {

constexpr std::size_t kTopOfText = 10;

/// All that one recording holds of the kinds that are compared.
Result<analyze::DiffRecording> read_side(const std::string& path, const DiffCommand& command) {
  // Modules are numbered anew in each recording, so each has a symbolizer of its own.
  auto symbols = symbolize::RemoteSymbolizer::create();
  if (!symbols) return symbols.unexpected();
  symbolize::Symbolizer& symbolizer = **symbols;
  if (command.debuginfod) {
    if (auto used = use_debuginfod(symbolizer); !used) return used.unexpected();
  }
  auto replayed = replay_recording(path, symbolizer);
  if (!replayed) return replayed.unexpected();
  analyze::ReportOptions options;
  options.kinds = command.kinds;
  auto report = named_report(replayed->trace, options, symbolizer);
  if (report && await_debug_files(symbolizer)) {
    report = named_report(replayed->trace, options, symbolizer);
  }
  if (!report) return report.unexpected();
  report->final = true;
  report->cut_off = replayed->cut_off;
  return analyze::DiffRecording{path, std::move(*report)};
}

}  // namespace

Result<int> run_command(const DiffCommand& command) {
  auto format = output::find_diff_format(command.format);
  if (!format) return format.unexpected();
  auto file = open_output(command.output);
  if (!file) return file.unexpected();
  auto given_up = give_up_privileges({.output = command.output == "-" ? "" : command.output});
  if (!given_up) return given_up.unexpected();
  auto older = read_side(command.older, command);
  if (!older) return older.unexpected();
  auto newer = read_side(command.newer, command);
  if (!newer) return newer.unexpected();

  analyze::DiffOptions options{.top = command.top, .tool_version = kVersion};
  if (!options.top && command.format == "text") options.top = kTopOfText;
  const analyze::Diff diff =
      analyze::diff_recordings(std::move(*older), std::move(*newer), options);
  const std::string text = (*format)->write(diff);
  auto written = *file ? (*file)->commit(text) : write_all(STDOUT_FILENO, text);
  if (!written) return written.unexpected();
  return 0;
}

}  // namespace leaktrace::app
