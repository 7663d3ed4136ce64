// SPDX-License-Identifier: Apache-2.0
// Holds the BPF unwinder to libdwfl on stacks of real programs:
//
//     unwind_oracle [options] [WORKLOAD…]          all that ship with the tests, unless named
//     unwind_oracle [options] -- COMMAND [ARGUMENT…]
//
// Exit status: 0 at most one disagreement in 10,000 stacks, 1 could not run or more, 2 wrong usage.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tests/bpf/oracle/oracle.h"

namespace leaktrace::tests {
namespace {

struct Options {
  Limits limits;
  int seconds = 120;
  uint32_t one_in = 0;
  int show = 0;
  bool list = false;
  std::string library;
  std::vector<std::string> functions = {"malloc", "calloc", "realloc"};
  std::vector<std::string> workloads;
  std::vector<std::string> command;
};

/// What stands after "--" is a command of the user's.
Workload workload_of(const Options& options) {
  const std::string library = options.library.empty() ? path_of_libc() : options.library;
  return {"command", options.command, {}, library, options.functions, 1};
}

/// The tally of one workload, printed; an error is printed too.
bool run_one(Workload workload, const Options& options, Tally& all) {
  if (options.one_in != 0) workload.one_in = options.one_in;
  int left = options.show;
  const auto show = [&](const oracle_stack& moment, const Verdict& verdict,
                        const CopyUnwinder& unwinder) {
    if (verdict.outcome < Outcome::both_stop || left-- <= 0) return;
    fmt::print("{} frames are equal of:\n", verdict.frames);
    for (uint32_t i = 0; i < moment.count; ++i) {
      fmt::print("  {:>3} {:#018x} {}\n", i, moment.frames[i], unwinder.describe(moment.frames[i]));
    }
  };
  const auto result = run_oracle(workload, options.limits, show);
  if (!result) {
    fmt::print("{}: {}\n", workload.name, result.error().message());
    return false;
  }
  fmt::print("{}  {:>10}  of {} calls in {:.1f} s were compared; {} found the ring full\n",
             result->tally.report(workload.name), result->tally.stacks(), result->calls,
             result->seconds, result->ring_full);
  if (result->foreign_probes > 0) {
    fmt::print("  {:>10}  not compared: return probes of another tracer are in them\n",
               result->foreign_probes);
  }
  fflush(stdout);
  all.add(result->tally);
  return true;
}

int run(Options& options) {
  options.limits.time = std::chrono::seconds(options.seconds);
  fmt::print("{:<12} {:>8} {:>9} {:>8} {:>12} {:>14}\n", "workload", "stacks", "frames", "equal",
             "equal so far", "disagreements");
  Tally all;
  bool ran = true;
  if (!options.command.empty()) ran = run_one(workload_of(options), options, all);
  if (options.command.empty() && options.workloads.empty()) options.workloads = workload_names();
  for (const std::string& name : options.workloads) {
    auto workload = find_workload(name);
    if (!workload) fmt::print("{}: {}\n", name, workload.error().message());
    ran = workload && run_one(std::move(*workload), options, all) && ran;
  }
  fmt::print("\n{}", all.report("all"));
  return ran && all.disagreements() * 10000 <= all.stacks() ? 0 : 1;
}

}  // namespace
}  // namespace leaktrace::tests

int main(int argc, char** argv) {
  using namespace leaktrace::tests;
  Options options;
  const auto divider = std::find(argv, argv + argc, std::string_view("--"));
  if (divider != argv + argc) options.command.assign(divider + 1, argv + argc);
  CLI::App app("Holds the BPF unwinder to libdwfl on stacks of real programs");
  app.add_option("--stacks", options.limits.stacks, "stacks of each workload (10000)");
  app.add_option("--seconds", options.seconds, "the longest that a workload runs (120)");
  app.add_option("--one-in", options.one_in, "take one of so many calls (the workload's own)");
  app.add_option("--library", options.library, "of a command: the file of the functions (libc)");
  app.add_option("--function", options.functions, "of a command: what is probed (malloc and kin)");
  app.add_option("--show", options.show, "print so many stacks whose end is not certain");
  app.add_flag("--list", options.list, "print the names of the workloads");
  app.add_option("workload", options.workloads, "all unless named");
  try {
    app.parse(static_cast<int>(divider - argv), argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.list) {
    for (const std::string& name : workload_names()) fmt::print("{}\n", name);
    return 0;
  }
  return run(options);
}
