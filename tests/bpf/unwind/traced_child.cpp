// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/unwind/traced_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

namespace leaktrace::tests {
namespace {

constexpr int syscall_stop = SIGTRAP | 0x80;

[[noreturn]] void become(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  raise(SIGSTOP);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

/// Follows the system calls of each thread, to know when one that maps code has ended.
class CodeMappings {
 public:
  /// At a system-call stop: true when code was just mapped.
  bool just_mapped(pid_t tid) {
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0) {
      return false;
    }
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      const auto number = info.entry.nr;
      maps_code_[tid] =
          (number == SYS_mmap || number == SYS_mprotect) && (info.entry.args[2] & PROT_EXEC) != 0;
      return false;
    }
    return info.op == PTRACE_SYSCALL_INFO_EXIT && maps_code_[tid];
  }

 private:
  std::map<pid_t, bool> maps_code_;
};

}  // namespace

int run_traced(const std::vector<std::string>& command, const std::function<void(pid_t)>& started,
               const std::function<void(pid_t)>& mapped) {
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) become(command);
  int status = 0;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, nullptr,
         PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
  ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);

  CodeMappings mappings;
  for (;;) {
    const pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0) return -1;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (tid == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      continue;
    }
    const int stop = WSTOPSIG(status);
    int signal = 0;
    if (stop == syscall_stop) {
      if (mappings.just_mapped(tid)) mapped(child);
    } else if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXEC << 8))) {
      started(child);
      mapped(child);
    } else if (stop != SIGTRAP && stop != SIGSTOP) {
      signal = stop;
    }
    ptrace(PTRACE_SYSCALL, tid, nullptr, signal);
  }
}

}  // namespace leaktrace::tests
