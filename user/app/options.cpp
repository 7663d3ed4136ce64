// SPDX-License-Identifier: Apache-2.0
#include "user/app/options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <sstream>
#include <string_view>

#include "user/app/diff_options.h"
#include "user/app/judgement_options.h"
#include "user/app/kind_options.h"
#include "user/app/option_values.h"
#include "user/app/version.h"
#include "user/base/log.h"
#include "user/base/printable.h"
#include "user/output/format.h"
#include "user/unwind/table_cache.h"

namespace leaktrace::app {
namespace {

constexpr int kUsageStatus = 2;

/// What CLI11 fills in; the commands are cut from it afterwards.
struct Line {
  Target target;
  TraceOptions trace;
  ReportOptionsLine report;
  std::string recording;
  std::string sample_bytes;  ///< empty: not told; likewise the budget
  std::string budget;
  std::optional<std::uint64_t> max_live;
  std::vector<std::string> kinds;
  std::string show_sql;
  bool json = false;
  std::string probes;
  bool verbose = false;
};

// Seconds, with an optional unit: 90, 1.5, 500ms, 10s, 5m, 2h, 1d.
std::string parse_seconds(std::string& text) {
  static const std::map<std::string, double> kUnits = {{"ms", 0.001}, {"", 1},     {"s", 1},
                                                       {"m", 60},     {"h", 3600}, {"d", 86400}};
  std::size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    return fmt::format("'{}' is not a time: write for example 500ms, 10s, 5m or 2h", text);
  }
  auto unit = kUnits.find(text.substr(used));
  if (unit == kUnits.end() || !std::isfinite(number) || number < 0 || number > 1e9) {
    return fmt::format("'{}' is not a time: write for example 500ms, 10s, 5m or 2h", text);
  }
  text = fmt::format("{}", number * unit->second);
  return {};
}

std::string parse_positive_seconds(std::string& text) {
  std::string wrong = parse_seconds(text);
  if (wrong.empty() && std::stod(text) < 0.001) return "a time above zero is wanted";
  return wrong;
}

/// Linux, include/linux/threads.h: PID_MAX_LIMIT.
constexpr std::uint64_t kMostPid = 1U << 22;

constexpr std::uint64_t kMostSampleBytes = 1U << 30;
constexpr double kLeastBudget = 0.1;
constexpr double kMostBudget = 90;

// "exact" stays, a size becomes its number of bytes.
std::string parse_sampling(std::string& value) {
  if (value == "exact") return {};
  const auto bytes = size_of(value);
  if (!bytes || *bytes == 0 || *bytes > kMostSampleBytes) {
    return fmt::format("'{}' is no sampling interval: 1 to 1G bytes (512K), or exact", value);
  }
  value = std::to_string(*bytes);
  return {};
}

// "off" stays, of a percentage the number is left.
std::string parse_budget(std::string& value) {
  if (value == "off") return {};
  std::string number = value;
  if (number.ends_with('%')) number.pop_back();
  while (number.ends_with(' ')) number.pop_back();
  double percent = 0;
  const bool is_number = CLI::detail::lexical_cast(number, percent);
  if (!is_number || !(percent >= kLeastBudget && percent <= kMostBudget)) {
    return fmt::format("'{}' is no budget: {} to {} percent, or off", value, kLeastBudget,
                       kMostBudget);
  }
  value = number;
  return {};
}

std::string unwind_cache_help() {
  const std::string folder = unwind::default_cache_folder();
  return folder.empty() ? "none" : folder;
}

// "none" becomes the empty name.
std::string parse_cache_folder(std::string& folder) {
  if (folder == "none") folder.clear();
  return {};
}

void add_report_options(CLI::App& command, Line& line) {
  auto* group = command.add_option_group("Report");
  add_format_option(*group, line.report.format, output::formats(), output::find_format);
  group
      ->add_option("-o,--output", line.report.output,
                   "Write the last report to this file, whole or not at all")
      ->option_text("FILE");
  group
      ->add_option("--top", line.report.top,
                   "Show only the first N call sites (text: 10, others: all)")
      ->check(whole_number("number of call sites"))
      ->option_text("N");
  group->add_option("--older", line.report.older_seconds, "Count only blocks at least this old")
      ->transform(CLI::Validator(parse_seconds, "TIME"))
      ->option_text("TIME");
  group->add_flag("--show-blocks", line.report.show_blocks, "List the single blocks of each site");
  add_judgement_options(command, line.report);
}

void add_each_interval(CLI::App& command, Line& line) {
  command.get_option_group("Report")->add_flag(
      "--each-interval", line.report.each_interval,
      "Write the file of -o each interval, whole each time, and not only at the end");
}

// "raw" or "normalized".
void add_postgres_options(CLI::App& command, Line& line) {
  auto* group = command.add_option_group("PostgreSQL clients (libpq)");
  group
      ->add_option("--show-sql", line.show_sql,
                   "SQL in reports and recordings: normalized, with every literal replaced, or raw "
                   "(normalized)")
      ->check(CLI::IsMember({"raw", "normalized"}))
      ->option_text("HOW");
  group
      ->add_option("--sql-bytes", line.trace.sql_bytes,
                   "Bytes of an SQL text that are read; longer ones are cut, and said to be (4096)")
      ->transform(size(512, 65536))
      ->option_text("SIZE");
  group
      ->add_option("--max-connections", line.trace.max_connections,
                   "Connections followed at once (65536)")
      ->check(whole_number("number of connections", 1, std::uint64_t{1} << 24U))
      ->option_text("N");
}

void add_symbol_options(CLI::App& command, Line& line) {
  command.add_option_group("Symbols")->add_flag(
      "--debuginfod", line.report.debuginfod,
      "Fetch debug files from DEBUGINFOD_URLS; the last report waits, two minutes at most");
}

void add_selection_options(CLI::App& command, Line& line) {
  auto* group = command.add_option_group("Selection");
  add_kinds_option(*group, line.kinds);
  group
      ->add_option("--min-size", line.report.min_size,
                   "Only blocks of at least this size: 4096, 4K, 1M")
      ->transform(size())
      ->option_text("SIZE");
  group->add_option("--max-size", line.report.max_size, "Only blocks of at most this size")
      ->transform(size())
      ->option_text("SIZE");
}

void add_trace_options(CLI::App& command, Line& line) {
  auto* group = command.add_option_group("Trace");
  group
      ->add_option("--interval", line.trace.interval_seconds,
                   "Time between two readings of the counters: 500ms, 10s, 5m (1s)")
      ->transform(CLI::Validator(parse_positive_seconds, "TIME"))
      ->option_text("TIME");
  group
      ->add_option("--duration", line.trace.duration_seconds,
                   "End tracing after this time; the target goes on")
      ->transform(CLI::Validator(parse_positive_seconds, "TIME"))
      ->option_text("TIME");
  group->add_flag("--follow", line.trace.follow,
                  "Trace the children too; every process that maps the same files pays for probes");
  group
      ->add_option("--sample-bytes", line.sample_bytes,
                   "Sample a block each so many bytes on average, or exact: count every block "
                   "(attach, record -p: 512K; run, record --: exact)")
      ->transform(CLI::Validator(parse_sampling, "SIZE|exact"))
      ->option_text("SIZE|exact");
  group
      ->add_option(
          "--budget", line.budget,
          "Most that tracing may slow a target, in percent of its CPU time, or of a tenth of a CPU "
          "where it uses less: 0.1 to 90, "
          "or off (attach, record -p: 5, of PostgreSQL's kinds alone 2; run, record --: off)")
      ->transform(CLI::Validator(parse_budget, "PERCENT|off"))
      ->option_text("PERCENT|off");
  group
      ->add_option("--stack-depth", line.trace.stack_depth,
                   "Frames of a stack that are kept, 0 to 127; 0: no stacks, one call site a kind "
                   "(127)")
      ->check(whole_number("number of frames", 0, 127))
      ->option_text("N");
  group
      ->add_option("--probe-mode", line.trace.probe_mode,
                   "How probes are attached: auto, session (entry and return in one, since kernel "
                   "6.13), multi (one call a file, since 6.6) or single")
      ->check(CLI::IsMember({"auto", "session", "multi", "single"}))
      ->option_text("MODE");
  group->add_flag("--no-trampolines", line.trace.no_trampolines,
                  "See functions return by their own return instructions only, never by the "
                  "kernel's return trampoline: costs more, and is what happens where it would do "
                  "harm");
  group
      ->add_option("--unwind-cache", line.trace.unwind_cache,
                   "Folder that keeps unwind information, or none (" + unwind_cache_help() + ")")
      ->transform(CLI::Validator(parse_cache_folder, "FOLDER|none"))
      ->option_text("FOLDER");
  group->add_flag("-q,--quiet", line.trace.quiet, "No report each interval, only the last");

  auto* limits = command.add_option_group("Limits (at a limit it is counted, and said)");
  auto at_least_one = whole_number("number of entries", 1, std::uint64_t{1} << 31U);
  auto add_limit = [&](const char* name, auto& limit, const char* help) {
    limits->add_option(name, limit, help)->check(at_least_one)->option_text("N");
  };
  add_limit("--max-live", line.max_live,
            "Blocks held at once (exact: 2097152, sampling: 262144 samples)");
  add_limit("--max-stacks", line.trace.max_stacks,
            "Call stacks known at once; those that hold nothing make room (65536)");
  add_limit("--max-sites", line.trace.max_sites, "Call sites known at once, likewise (65536)");
  add_limit("--max-threads", line.trace.max_threads, "Threads at once (65536)");
  limits
      ->add_option("--max-unwind-memory", line.trace.max_unwind_memory,
                   "Kernel memory for unwind information (256M, at most 512M)")
      ->transform(size(0, std::uint64_t{512} << 20U))
      ->option_text("SIZE");
}

void add_pids(CLI::App& command, Line& line) {
  command
      .add_option("-p,--pid", line.target.pids, "Process to attach to; several: -p 1 -p 2 or 1,2")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number("process id", 1, kMostPid))
      ->option_text("PID");
}

/// Is nothing traced but what is never sampled?
bool is_only_postgres(const Line& line) {
  return !line.report.kinds.empty() && std::ranges::all_of(line.report.kinds, model::is_postgres);
}

/// The options of the trace, with the defaults of what is traced where nothing was said: a running
/// process must not be slowed, and of a command that is started every block is wanted.
TraceOptions trace_of(const Line& line) {
  TraceOptions trace = line.trace;
  trace.raw_sql = line.show_sql == "raw";
  trace.sees_free =
      !line.target.command.empty() || (line.sample_bytes == "exact" && line.budget == "off");
  if (line.target.command.empty()) {
    if (!is_only_postgres(line)) trace.sample_bytes = kDefaultSampleBytes;
    trace.budget_percent =
        is_only_postgres(line) ? kDefaultPostgresBudgetPercent : kDefaultBudgetPercent;
  }
  if (line.sample_bytes == "exact") {
    trace.sample_bytes.reset();
  } else if (!line.sample_bytes.empty()) {
    trace.sample_bytes = std::stoull(line.sample_bytes);
  }
  if (line.budget == "off") {
    trace.budget_percent.reset();
  } else if (!line.budget.empty()) {
    trace.budget_percent = std::stod(line.budget);
  }
  trace.max_live = line.max_live.value_or(is_only_postgres(line) ? kMaxLivePostgres
                                          : trace.sample_bytes   ? kMaxLiveSampled
                                                                 : kMaxLiveExact);
  return trace;
}

/// The commands, and which of them was named.
class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("--version", std::string("leaktrace ") + kVersion);
    app_.set_help_all_flag("--help-all", "Help of all commands");
    app_.add_flag("-v,--verbose", line_.verbose, "Say what is done, the kernel's words included");
    for (CLI::App* command : {run_, attach_, record_, report_, diff_, doctor_})
      command->fallthrough();
    add_trace(*run_);
    run_->footer("The command goes after --: leaktrace run [OPTIONS] -- COMMAND [ARGUMENTS]");
    add_trace(*attach_);
    add_pids(*attach_, line_);
    attach_->get_option("--pid")->required();
    add_record();
    add_report();
    add_diff_options(*diff_, diff_line_);
    doctor_->add_flag("--json", line_.json, "As JSON");
    doctor_
        ->add_option("--probes", line_.probes,
                     "Where the probes in a library or executable go, and why")
        ->option_text("LIB");
    app_.require_subcommand(0, 1);
    app_.footer(
        "Examples:\n"
        "  leaktrace -p 1234                              watch a running process\n"
        "  leaktrace attach -p 1234 --duration 60 --format svg -o flame.svg\n"
        "  leaktrace attach -p 1234 --sample-bytes exact --budget off\n"
        "  leaktrace run -- ./server --port 8080          from the first call on\n"
        "  leaktrace record -p 1234 --duration 10m -o night.ltr\n"
        "  leaktrace report night.ltr --format json\n"
        "  leaktrace diff monday.ltr night.ltr            what grew between two recordings\n"
        "Exit status: 0 done, 1 could not run, 2 wrong usage, 3 flagged by --fail-on; else run "
        "passes the command's own status on.");
  }

  ParsedLine parse(int argc, const char* const* argv) {
    try {
      app_.parse(own_words(argc, argv));
      check();
    } catch (const CLI::ParseError& error) {
      std::ostringstream said;
      int status = app_.exit(error, std::cout, said);
      std::cerr << printable_lines(said.str());
      return {std::nullopt, status == 0 ? 0 : kUsageStatus};
    }
    if (line_.verbose) log::set_level(log::Level::debug);
    return {build(), 0};
  }

 private:
  void add_trace(CLI::App& command) {
    add_report_options(command, line_);
    add_selection_options(command, line_);
    add_each_interval(command, line_);
    add_symbol_options(command, line_);
    add_postgres_options(command, line_);
    add_trace_options(command, line_);
  }

  void add_record() {
    record_->add_option("-o,--output", line_.recording, "The recording to write")
        ->required()
        ->option_text("FILE");
    add_pids(*record_, line_);
    record_->footer(
        "A command to start goes after --: leaktrace record -o FILE [OPTIONS] -- COMMAND "
        "[ARGUMENTS]");
    add_selection_options(*record_, line_);
    add_symbol_options(*record_, line_);
    add_postgres_options(*record_, line_);
    add_trace_options(*record_, line_);
  }

  void add_report() {
    report_->add_option("file", line_.recording, "The recording to read")
        ->required()
        ->option_text("FILE");
    add_report_options(*report_, line_);
    add_selection_options(*report_, line_);
    add_symbol_options(*report_, line_);
  }

  // Everything after the first -- is the command that is started, whatever it looks like. The words
  // before it are leaktrace's own; without a command word, attach is meant. In reverse order, as
  // CLI11 wants them.
  std::vector<std::string> own_words(int argc, const char* const* argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    auto mark = std::ranges::find(words, "--");
    if (mark != words.end()) {
      line_.target.command.assign(mark + 1, words.end());
      words.erase(mark, words.end());
    }
    refuse_empty_words(words);
    auto is_command = [this](const std::string& word) {
      return !app_.get_subcommands([&](CLI::App* command) { return command->get_name() == word; })
                  .empty();
    };
    auto is_pid = [](const std::string& word) {
      return word.starts_with("-p") || word.starts_with("--pid");
    };
    if (std::ranges::none_of(words, is_command) && std::ranges::any_of(words, is_pid)) {
      words.insert(words.begin(), "attach");
    }
    std::ranges::reverse(words);
    return words;
  }

  // What CLI11 cannot say of a single option.
  void check() {
    if (run_->parsed() && line_.target.command.empty()) {
      throw CLI::RequiredError("a command, after --: leaktrace run -- COMMAND");
    }
    if (!run_->parsed() && !record_->parsed() && !line_.target.command.empty()) {
      throw CLI::ExtrasError({"--"});
    }
    if (!line_.target.command.empty() && line_.target.command.front().empty()) {
      throw CLI::ValidationError("--", "the command's name is empty");
    }
    if (line_.report.min_size > line_.report.max_size) {
      throw CLI::ValidationError("--min-size", "is above --max-size: no block fits");
    }
    if (record_->parsed() && line_.target.pids.empty() == line_.target.command.empty()) {
      throw CLI::ValidationError("record", "wants either -p PID or -- COMMAND");
    }
    if (line_.report.each_interval && (line_.report.output.empty() || line_.report.output == "-")) {
      throw CLI::ValidationError("--each-interval", "wants a file to write: -o FILE");
    }
    line_.report.kinds = kinds_named(line_.kinds);
    const bool samples = !line_.sample_bytes.empty() && line_.sample_bytes != "exact";
    if (is_only_postgres(line_) && samples) {
      throw CLI::ValidationError(
          "--sample-bytes",
          "does not apply to --kinds of PostgreSQL alone: each of what a session holds is counted, "
          "and none has a size to sample by; --budget holds down what tracing costs");
    }
    if (app_.get_subcommands().empty()) throw CLI::CallForHelp();
  }

  Command build() {
    if (record_->parsed()) {
      return RecordCommand{line_.target,           trace_of(line_),    line_.report.min_size,
                           line_.report.max_size,  line_.report.kinds, line_.recording,
                           line_.report.debuginfod};
    }
    if (report_->parsed()) return ReportCommand{line_.recording, line_.report};
    if (diff_->parsed()) return diff_command_of(diff_line_);
    if (doctor_->parsed()) return DoctorCommand{.json = line_.json, .probes = line_.probes};
    return TraceCommand{line_.target, trace_of(line_), line_.report};
  }

  Line line_;
  DiffLine diff_line_;
  CLI::App app_{"Finds what a running program acquires and never gives back.", "leaktrace"};
  CLI::App* run_ = app_.add_subcommand("run", "Start a command and trace it from its first call");
  CLI::App* attach_ = app_.add_subcommand("attach", "Trace running processes");
  CLI::App* record_ = app_.add_subcommand("record", "Trace into a recording");
  CLI::App* report_ = app_.add_subcommand("report", "Report from a recording");
  CLI::App* diff_ = app_.add_subcommand("diff", "What grew and what shrank between two recordings");
  CLI::App* doctor_ = app_.add_subcommand("doctor", "What this kernel, machine and user can do");
};

}  // namespace

ParsedLine parse_command_line(int argc, const char* const* argv) {
  return CommandLine().parse(argc, argv);
}

}  // namespace leaktrace::app
