// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/launcher.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "user/base/file.h"
#include "user/base/process_setup.h"

namespace leaktrace::tracer {
namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail(describe_errno("cannot make a pipe", errno));
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Between fork and exec: only async-signal-safe calls.
[[noreturn]] void wait_and_exec(int go, int failure, char* const* arguments) {
  char byte = 0;
  ssize_t n = 0;
  do {
    n = ::read(go, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) ::_exit(127);
  restore_inherited_signals();
  ::execvp(arguments[0], arguments);
  int error = errno;
  [[maybe_unused]] ssize_t written = ::write(failure, &error, sizeof(error));
  ::_exit(127);
}

}  // namespace

Result<Launcher> Launcher::launch(const std::vector<std::string>& command) {
  auto go = make_pipe();
  if (!go) return go.unexpected();
  auto failure = make_pipe();
  if (!failure) return failure.unexpected();

  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);

  pid_t pid = ::fork();
  if (pid < 0) return fail(describe_errno("cannot start a process", errno));
  if (pid == 0) {
    go->write_end.reset();
    wait_and_exec(go->read_end.get(), failure->write_end.get(), arguments.data());
  }
  return Launcher(pid, std::move(go->write_end), std::move(failure->read_end), command.front());
}

Launcher::~Launcher() {
  if (!go_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<void> Launcher::release(const std::function<void()>& attend) {
  char byte = 1;
  if (::write(go_.get(), &byte, 1) != 1) return fail("the started process is gone");
  go_.reset();
  constexpr int kPauseMs = 5;
  pollfd outcome{.fd = failure_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&outcome, 1, kPauseMs) <= 0) attend();
  int error = 0;
  const ssize_t n = ::read(failure_.get(), &error, sizeof(error));
  if (n == static_cast<ssize_t>(sizeof(error))) {
    ::waitpid(pid_, nullptr, 0);
    return fail(describe_errno(fmt::format("cannot run {}", command_), error),
                error == ENOENT ? "is it on the PATH?" : "");
  }
  return {};
}

}  // namespace leaktrace::tracer
