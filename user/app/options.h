// SPDX-License-Identifier: Apache-2.0
// The command line, as values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "user/model/ids.h"

namespace leaktrace::app {

/// Which outstanding resources a report shows, and how.
struct ReportOptionsLine {
  std::string format = "text";
  std::string output;  ///< file; empty: the terminal
  std::optional<std::size_t> top;
  std::optional<double> older_seconds;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = UINT64_MAX;
  std::vector<model::Kind> kinds;  ///< empty: all
  bool show_blocks = false;
  bool debuginfod = false;  ///< ask debuginfod servers for debug files
};

/// How a trace is taken.
struct TraceOptions {
  double interval_seconds = 1;
  std::optional<double> duration_seconds;
  std::uint64_t max_live = 4U << 20;
  std::uint64_t max_stacks = 65536;
  std::uint64_t max_sites = 65536;
  std::uint64_t max_threads = 65536;
  std::uint64_t max_unwind_memory = 256U << 20;  ///< bytes
  std::optional<std::string> unwind_cache;       ///< folder; empty: none; unset: the user's own
  std::string probe_mode = "auto";
  bool follow = false;
  bool quiet = false;  ///< no report each interval
};

/// What is traced: running processes, or a command to start.
struct Target {
  std::vector<pid_t> pids;
  std::vector<std::string> command;
};

struct TraceCommand {
  Target target;
  TraceOptions trace;
  ReportOptionsLine report;
};

struct RecordCommand {
  Target target;
  TraceOptions trace;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = UINT64_MAX;
  std::vector<model::Kind> kinds;
  std::string file;
  bool debuginfod = false;
};

struct ReportCommand {
  std::string file;
  ReportOptionsLine report;
};

struct DoctorCommand {
  bool json = false;
};

using Command = std::variant<TraceCommand, RecordCommand, ReportCommand, DoctorCommand>;

/// Reads the command line. Nothing, with the status to exit with, when CLI11 has printed help, the
/// version or what is wrong with the options.
struct ParsedLine {
  std::optional<Command> command;
  int status = 0;
};
[[nodiscard]] ParsedLine parse_command_line(int argc, const char* const* argv);

}  // namespace leaktrace::app
