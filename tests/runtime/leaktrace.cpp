// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/leaktrace.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace leaktrace::runtime {

std::string leaktrace_path() {
  const char* given = std::getenv("LEAKTRACE");
  return given != nullptr ? given : LEAKTRACE_BINARY_DIR "/leaktrace";
}

std::string testprog(const std::string& name) {
  return LEAKTRACE_BINARY_DIR "/tests/testprogs/" + name;
}

std::vector<std::string> leaktrace_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {leaktrace_path()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

Outcome run_leaktrace(const std::vector<std::string>& arguments, const SpawnOptions& options,
                      Seconds limit) {
  return run_command(leaktrace_command(arguments), options, limit);
}

TracedRun run_traced(const std::vector<std::string>& command,
                     const std::vector<std::string>& options, Seconds limit) {
  TempDir dir;
  std::vector<std::string> arguments = {"run"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  for (const std::string& word :
       {std::string("--top"), std::string("100000"), std::string("--format"), std::string("json"),
        std::string("-o"), dir.file("report.json")}) {
    arguments.push_back(word);
  }
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), command.begin(), command.end());
  TracedRun traced;
  traced.outcome = run_leaktrace(arguments, {}, limit);
  traced.report_text = read_whole(dir.file("report.json"));
  return traced;
}

/// leaktrace says so of each target when its probes are in place (--verbose).
static bool said_attached(const std::string& err, const std::vector<pid_t>& targets) {
  return std::all_of(targets.begin(), targets.end(), [&](pid_t pid) {
    return err.find("attached to " + std::to_string(pid) + ":") != std::string::npos;
  });
}

/// What it said but for --verbose.
static std::string without_debug(const std::string& err) {
  std::istringstream lines(err);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("leaktrace: debug: ") != 0) out += line + '\n';
  }
  return out;
}

std::vector<std::string> exactly(const std::vector<std::string>& more) {
  std::vector<std::string> options = {"--sample-bytes", "exact", "--budget", "off"};
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

Attached::Attached(std::vector<pid_t> targets, const std::vector<std::string>& options,
                   std::vector<std::string> enter) {
  std::vector<std::string> arguments = {
      "--verbose", "attach", "--format", "json", "-o", dir_.file("report.json"), "--top", "100000"};
  for (const pid_t pid : targets) {
    arguments.emplace_back("-p");
    arguments.push_back(std::to_string(pid));
  }
  arguments.insert(arguments.end(), options.begin(), options.end());
  std::ranges::copy(leaktrace_command(arguments), std::back_inserter(enter));
  process_ = std::make_unique<Process>(std::move(enter));
  const bool ready =
      wait_until([&] { return !process_->running() || said_attached(process_->err(), targets); },
                 Seconds(120));
  if (!ready || !process_->running()) {
    throw std::runtime_error("leaktrace did not attach: " + without_debug(process_->err()));
  }
}

Report Attached::stop() {
  process_->signal(SIGINT);
  return wait();
}

Report Attached::wait(Seconds limit) {
  outcome_ = process_->wait(limit);
  outcome_.err = without_debug(outcome_.err);
  const std::string text = read_whole(dir_.file("report.json"));
  if (outcome_.timed_out || text.empty()) {
    throw std::runtime_error("leaktrace attach wrote no report: " + outcome_.err);
  }
  return Report(text);
}

std::string TargetMemory::code() const {
  std::istringstream maps(read_whole("/proc/" + std::to_string(pid_) + "/maps"));
  const int memory = open(("/proc/" + std::to_string(pid_) + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::string code;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(module_) == std::string::npos || line.find(" r-xp ") == std::string::npos) {
      continue;
    }
    const std::size_t dash = line.find('-');
    const std::uint64_t begin = std::stoull(line.substr(0, dash), nullptr, 16);
    const std::uint64_t end = std::stoull(line.substr(dash + 1), nullptr, 16);
    std::string bytes(end - begin, '\0');
    if (pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin)) > 0) code += bytes;
  }
  if (memory >= 0) close(memory);
  return code;
}

std::vector<std::string> TargetMemory::file_mappings() const {
  std::istringstream maps(read_whole("/proc/" + std::to_string(pid_) + "/maps"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" /") != std::string::npos) lines.push_back(line);
  }
  return lines;
}

std::map<std::string, Amount> leaks_said(const std::string& out) {
  std::map<std::string, Amount> said;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, function;
    Amount amount;
    if (words >> word >> function >> amount.count >> amount.bytes && word == "leaked") {
      said[function] += amount;
    }
  }
  return said;
}

std::map<std::string, std::uint64_t> harmful_losses(const Report& report) {
  auto losses = report.losses();
  losses.erase("unmatched_release");
  return losses;
}

void RuntimeTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: leaktrace loads BPF programs";
}

}  // namespace leaktrace::runtime
