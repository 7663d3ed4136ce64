// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>

namespace leaktrace::runtime {

namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

/// A child of a test begins with all signals at their defaults and none blocked.
void set_attributes(posix_spawnattr_t& attributes) {
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
}

}  // namespace

bool wait_until(const std::function<bool()>& condition, Seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

Process::Process(std::vector<std::string> command, const SpawnOptions& options)
    : files_(std::make_unique<TempDir>()) {
  std::string in = "/dev/null";
  if (!options.input.empty()) write_whole(in = files_->file("in"), options.input);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, files_->file("out").c_str(), kCreate, 0666);
  posix_spawn_file_actions_addopen(&actions, 2, files_->file("err").c_str(), kCreate, 0666);
  posix_spawnattr_t attributes;
  set_attributes(attributes);
  std::vector<std::string> environment = environment_with(options.environment);
  const int error = posix_spawnp(&pid_, command[0].c_str(), &actions, &attributes,
                                 pointers(command).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) throw std::runtime_error("cannot start " + command[0] + ": " + strerror(error));
}

Process::~Process() {
  // The group may outlive its leader: a command that `leaktrace run` started.
  kill(-pid_, SIGKILL);
  if (!ended_) reap(0);
}

void Process::signal(int number) const {
  if (!ended_) kill(pid_, number);
}

bool Process::reap(int flags) {
  if (ended_) return true;
  pid_t got = 0;
  do {
    got = waitpid(pid_, &wait_status_, flags);
  } while (got < 0 && errno == EINTR);
  ended_ = got == pid_;
  return ended_;
}

bool Process::running() {
  return !reap(WNOHANG);
}

std::optional<std::string> Process::wait_for_line(const std::string& word, Seconds limit) {
  std::optional<std::string> found;
  wait_until(
      [&] {
        const bool over = !running();  // asked before reading, so that last words are heard
        const std::string text = "\n" + out();
        const std::size_t begin = text.find("\n" + word + " ");
        const std::size_t end = begin == std::string::npos ? begin : text.find('\n', begin + 1);
        if (end == std::string::npos) return over;
        found = text.substr(begin + word.size() + 2, end - begin - word.size() - 2);
        return true;
      },
      limit);
  return found;
}

Outcome Process::wait(Seconds limit) {
  Outcome outcome;
  outcome.timed_out = !wait_until([this] { return !running(); }, limit);
  if (outcome.timed_out) {
    kill(-pid_, SIGKILL);
    reap(0);
  }
  outcome.status =
      WIFSIGNALED(wait_status_) ? 128 + WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
  outcome.out = out();
  outcome.err = err();
  return outcome;
}

Outcome run_command(std::vector<std::string> command, const SpawnOptions& options, Seconds limit) {
  return Process(std::move(command), options).wait(limit);
}

}  // namespace leaktrace::runtime
