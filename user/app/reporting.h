// SPDX-License-Identifier: Apache-2.0
// From a trace to what the user sees of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "user/analyze/report.h"
#include "user/app/options.h"
#include "user/base/file.h"
#include "user/base/result.h"
#include "user/model/trace.h"
#include "user/output/format.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::app {

/// Names frames from what the recording holds, else from the files.
[[nodiscard]] analyze::Namer make_namer(symbolize::Symbolizer& symbolizer);

/// The report of a trace, with names, and with what could not be read of the files that have them.
[[nodiscard]] Result<analyze::Report> named_report(const model::Trace& trace,
                                                   const analyze::ReportOptions& options,
                                                   symbolize::Symbolizer& symbolizer);

/// The file that -o names, opened, so that one that cannot be written is known early; nothing for
/// the terminal: no name, or "-".
[[nodiscard]] Result<std::optional<AtomicFile>> open_output(const std::string& path);

/// Prints reports of one trace as the options say.
class Reporter {
 public:
  /// Opens the output file, so that one that cannot be written is known before tracing starts.
  /// `terminal`: the descriptor to print to without a file.
  [[nodiscard]] static Result<Reporter> create(const ReportOptionsLine& options, int terminal,
                                               symbolize::Symbolizer& symbolizer);

  /// The trace as it stands: as text on the terminal for a person who waits, or into the file when
  /// that is wanted each interval.
  void print_interval(const model::Trace& trace);
  /// The last word on a trace; waits for debug files that are being fetched. `cut_off`: of a
  /// recording without its end.
  [[nodiscard]] Result<void> write_final(const model::Trace& trace, bool cut_off);

 private:
  Reporter(const ReportOptionsLine& options, int terminal, symbolize::Symbolizer& symbolizer);
  [[nodiscard]] Result<analyze::Report> build(const model::Trace& trace) const;

  ReportOptionsLine options_;
  symbolize::Symbolizer& symbolizer_;
  int terminal_;
  const output::Format* format_ = nullptr;
  std::optional<AtomicFile> file_;
};

}  // namespace leaktrace::app
