// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/runtime/process.h"
#include "tests/runtime/report.h"

namespace leaktrace::runtime {

/// The built program; the environment's LEAKTRACE overrides it.
[[nodiscard]] std::string leaktrace_path();

/// A program of tests/testprogs.
[[nodiscard]] std::string testprog(const std::string& name);

[[nodiscard]] std::vector<std::string> leaktrace_command(const std::vector<std::string>& arguments);

/// Runs leaktrace to its end.
Outcome run_leaktrace(const std::vector<std::string>& arguments, const SpawnOptions& options = {},
                      Seconds limit = Seconds(120));

/// `leaktrace run` of a command, exact unless it is told otherwise, with its JSON report.
struct TracedRun {
  Outcome outcome;
  std::string report_text;  ///< empty when none was written
  [[nodiscard]] Report report() const { return Report(report_text); }
};
TracedRun run_traced(const std::vector<std::string>& command,
                     const std::vector<std::string>& options = {}, Seconds limit = Seconds(120));

/// Options with which attach counts every block, whatever that costs, and `more`.
[[nodiscard]] std::vector<std::string> exactly(const std::vector<std::string>& more = {});

/// `leaktrace attach` with these options, that writes its JSON report to a file. Constructed, it
/// has its probes in the target. It samples, as attach does, unless it is told otherwise: see
/// exactly().
class Attached {
 public:
  /// `enter`: words before the command, that run it elsewhere.
  Attached(std::vector<pid_t> targets, const std::vector<std::string>& options = {},
           std::vector<std::string> enter = {});

  [[nodiscard]] Process& process() { return *process_; }
  /// Ends it with SIGINT, as a person does, and waits; the report it wrote.
  Report stop();
  /// Waits for it to end by itself (--duration, the target's end); the report it wrote.
  Report wait(Seconds limit = Seconds(120));
  [[nodiscard]] const Outcome& outcome() const { return outcome_; }

 private:
  TempDir dir_;
  std::unique_ptr<Process> process_;
  Outcome outcome_;
};

/// What a process's memory says of probes: the code of its allocator, and its mappings.
class TargetMemory {
 public:
  /// `module`: a part of the path of the mapping whose code is looked at.
  explicit TargetMemory(pid_t pid, std::string module = "/libc.so")
      : pid_(pid), module_(std::move(module)) {}
  /// The bytes of the module's code as they are in the process now.
  [[nodiscard]] std::string code() const;
  /// Mappings of files, one a line: those that must not change.
  [[nodiscard]] std::vector<std::string> file_mappings() const;

 private:
  pid_t pid_;
  std::string module_;
};

/// Truth that a program of testprogs printed: "leaked FUNCTION COUNT BYTES".
[[nodiscard]] std::map<std::string, Amount> leaks_said(const std::string& out);

/// The causes of loss that make numbers wrong. A release of what was acquired before the trace is
/// not one of them.
[[nodiscard]] std::map<std::string, std::uint64_t> harmful_losses(const Report& report);

/// Tests of the real thing need root. Use with GTEST_SKIP in SetUp.
class RuntimeTest : public testing::Test {
 protected:
  void SetUp() override;
  TempDir dir_;
};

}  // namespace leaktrace::runtime
