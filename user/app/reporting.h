// SPDX-License-Identifier: Apache-2.0
// From a trace to what the user sees of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "user/analyze/report.h"
#include "user/analyze/suppressions.h"
#include "user/app/options.h"
#include "user/base/background_job.h"
#include "user/base/output_file.h"
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
  /// Opens the output file and reads the suppressions, so that what is wrong with them is known
  /// before tracing starts.
  /// `terminal`: the descriptor to print to without a file.
  [[nodiscard]] static Result<Reporter> create(const ReportOptionsLine& options, int terminal,
                                               symbolize::Symbolizer& symbolizer);

  /// The trace as it stands: as text on the terminal for a person who waits, or into the file when
  /// that is wanted each interval. Does not wait for whoever reads that: until a report is written
  /// none follows, which is told once, and then those are left out. False: nobody reads the
  /// terminal (a pipe) any more. Another failure is a warning, once.
  [[nodiscard]] bool print_interval(const model::Trace& trace);
  /// The last word on a trace; waits for debug files that are being fetched. `cut_off`: of a
  /// recording without its end.
  [[nodiscard]] Result<void> write_final(const model::Trace& trace, bool cut_off);
  /// Whether the last report has a site that --fail-on asks for; write_final() has named them.
  [[nodiscard]] bool flagged() const { return flagged_; }

 private:
  Reporter(const ReportOptionsLine& options, int terminal, symbolize::Symbolizer& symbolizer);
  /// Without what is suppressed. With more sites than are shown where `last`, for --fail-on, or
  /// the suppressions have to look at all: see cut().
  [[nodiscard]] Result<analyze::Report> build(const model::Trace& trace, bool last) const;
  [[nodiscard]] std::optional<std::size_t> top() const;
  void cut(analyze::Report& report) const;
  void judge(const analyze::Report& report);
  void warn(const Error& error);
  [[nodiscard]] bool see_outcome();

  ReportOptionsLine options_;
  symbolize::Symbolizer& symbolizer_;
  int terminal_;
  const output::Format* format_ = nullptr;
  std::optional<AtomicFile> file_;
  analyze::Suppressions suppressions_;
  bool flagged_ = false;
  std::unique_ptr<BackgroundJob> writing_;  ///< of intervals' reports; none before the first
  bool told_slow_ = false;
  bool warned_ = false;  ///< that an interval's report was not written
};

}  // namespace leaktrace::app
