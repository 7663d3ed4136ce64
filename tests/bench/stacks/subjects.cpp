// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/stacks/subjects.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "tests/bpf/oracle/workload.h"

namespace leaktrace::bench {
namespace {

[[noreturn]] void become(const Subject& subject, const std::string& folder) {
  ::setpgid(0, 0);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  std::vector<char*> arguments;
  for (const std::string& word : subject.command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  if (::chdir(folder.c_str()) == 0) ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

Running::Running(const Subject& subject)
    : programs_(subject.programs), folder_("/tmp/leaktrace-stacks-bench.XXXXXX") {
  if (::mkdtemp(folder_.data()) == nullptr) std::abort();
  group_ = ::fork();
  if (group_ == 0) become(subject, folder_);
  ::setpgid(group_, group_);
}

Running::~Running() {
  if (group_ <= 0) return;
  ::kill(-group_, SIGKILL);
  ::waitpid(group_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::optional<pid_t> Running::process() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || ::getpgid(pid) != group_) continue;
    const auto file = std::filesystem::read_symlink(entry.path() / "exe", error);
    if (error) continue;
    if (std::find(programs_.begin(), programs_.end(), file.filename()) != programs_.end())
      return pid;
  }
  return {};
}

Subject recursion(int depth, size_t touch) {
  const std::string name =
      touch == 0 ? fmt::format("depth {}", depth) : fmt::format("depth {}, busy", depth);
  Subject subject{
      name, {SUBJECT, std::to_string(depth)}, {"stacks_subject"}, SUBJECT, "probe_point"};
  if (touch > 0) subject.command.push_back(std::to_string(touch));
  return subject;
}

Subject python_script(int depth) {
  const std::string script = fmt::format(
      "def call(left):\n"
      "    if left: return call(left - 1)\n"
      "    while True: bytearray(100)\n"
      "call({})\n",
      depth - 2);
  return {fmt::format("script, {} deep", depth),
          {"/usr/bin/env", "PYTHONMALLOC=malloc", "/usr/bin/python3", "-c", script},
          {std::filesystem::canonical("/usr/bin/python3").filename().string()},
          tests::path_of_libc(),
          "malloc"};
}

std::vector<Subject> real_programs() {
  std::vector<Subject> subjects;
  for (const char* name : {"python3", "llc", "opt", "git", "redis"}) {
    const auto workload = tests::find_workload(name);
    if (!workload) {
      fmt::print("skipped: {}\n", workload.error().message());
      continue;
    }
    std::vector<std::string> programs;
    for (const std::string& program : workload->programs) {
      const auto file = std::filesystem::canonical("/usr/bin/" + program).filename();
      programs.push_back(file.string());
    }
    subjects.push_back({name, workload->command, programs, workload->library,
                        workload->functions.front(), 10, false});
  }
  return subjects;
}

}  // namespace leaktrace::bench
