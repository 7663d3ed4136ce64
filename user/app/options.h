// SPDX-License-Identifier: Apache-2.0
// The command line, as values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "user/analyze/fail_on.h"
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
  bool debuginfod = false;                 ///< ask debuginfod servers for debug files
  bool each_interval = false;              ///< write the output each interval, not only at the end
  std::vector<std::string> suppressions;   ///< files
  std::optional<analyze::FailOn> fail_on;  ///< when the last report is flagged; none: never
};

/// Most blocks held at once unless told: a block of an exact trace is any that is outstanding, one
/// of a sampled trace stands for many.
inline constexpr std::uint64_t kMaxLiveExact = 2U << 20;
inline constexpr std::uint64_t kMaxLiveSampled = 256U << 10;
/// What clients of PostgreSQL hold is few, and the table is walked after each time with probes.
inline constexpr std::uint64_t kMaxLivePostgres = 256U << 10;

/// Defaults of `attach` and `record -p`: what slows a server the least.
inline constexpr std::uint64_t kDefaultSampleBytes = 512U << 10;
inline constexpr double kDefaultBudgetPercent = 5;
/// The same where nothing but what clients of PostgreSQL hold is traced.
inline constexpr double kDefaultPostgresBudgetPercent = 2;

/// How a trace is taken. Whatever was not said on the command line has the default of its command.
struct TraceOptions {
  double interval_seconds = 1;
  std::optional<double> duration_seconds;
  std::optional<std::uint64_t> sample_bytes;  ///< mean bytes from sample to sample; none: exact
  std::optional<double> budget_percent;       ///< most that tracing may slow a target; none: off
  std::uint32_t stack_depth = 127;            ///< frames; 0: no stacks, one call site a kind
  std::uint64_t max_live = kMaxLiveExact;
  std::uint64_t max_stacks = 65536;
  std::uint64_t max_sites = 65536;
  std::uint64_t max_threads = 65536;
  std::uint64_t max_unwind_memory = 256U << 20;  ///< bytes
  std::optional<std::string> unwind_cache;       ///< folder; empty: none; unset: the user's own
  std::string probe_mode = "auto";
  bool follow = false;
  bool no_trampolines = false;
  bool quiet = false;  ///< no report each interval
  /// Every free() is seen for the sake of libpq's buffers, where the heap is not traced.
  bool sees_free = false;
  bool raw_sql = false;                   ///< keep the literals in SQL
  std::uint32_t sql_bytes = 4096;         ///< of SQL that are read
  std::uint64_t max_connections = 65536;  ///< to PostgreSQL
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

/// Compares two recordings.
struct DiffCommand {
  std::string older;
  std::string newer;
  std::string format = "text";
  std::string output;  ///< file; empty or "-": standard output
  std::optional<std::size_t> top;
  std::vector<model::Kind> kinds;  ///< empty: all
  bool debuginfod = false;         ///< ask debuginfod servers for debug files
};

struct DoctorCommand {
  bool json = false;
  std::string probes;  ///< a library whose probes are listed; empty: none
};

using Command =
    std::variant<TraceCommand, RecordCommand, ReportCommand, DiffCommand, DoctorCommand>;

/// Reads the command line. Nothing, with the status to exit with, when CLI11 has printed help, the
/// version or what is wrong with the options.
struct ParsedLine {
  std::optional<Command> command;
  int status = 0;
};
[[nodiscard]] ParsedLine parse_command_line(int argc, const char* const* argv);

}  // namespace leaktrace::app
