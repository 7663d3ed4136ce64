// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/unwind/traced_child.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <set>

namespace leaktrace::tests {
namespace {

constexpr int syscall_stop = SIGTRAP | 0x80;
constexpr unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC |
                                  PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                                  PTRACE_O_TRACESECCOMP;

/// Lets the tracer see mmap and mprotect with PROT_EXEC, and nothing else.
bool show_code_mappings() {
  constexpr auto word = [](size_t offset) -> sock_filter {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<__u32>(offset));
  };
  // x86-64 and arm64 are little-endian: the low half of an argument comes first.
  std::array<sock_filter, 7> filter = {{
      word(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
      word(offsetof(seccomp_data, args) + 2 * sizeof(__u64)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

[[noreturn]] void become(const std::vector<std::string>& command, int wait_for_tracer) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  char go = 0;
  if (read(wait_for_tracer, &go, 1) == 1 && show_code_mappings()) {
    execvp(arguments[0], arguments.data());
  }
  _exit(127);
}

/// The process that a thread belongs to; 0 when it is gone.
pid_t process_of(pid_t tid) {
  std::ifstream status("/proc/" + std::to_string(tid) + "/status");
  for (std::string word; status >> word;) {
    pid_t tgid = 0;
    if (word == "Tgid:" && status >> tgid) return tgid;
  }
  return 0;
}

class Tree {
 public:
  Tree(pid_t root, const std::function<void(pid_t)>& started,
       const std::function<void(pid_t)>& mapped)
      : root_(root), started_(started), mapped_(mapped) {}

  /// Until all processes are gone.
  int run() {
    int result = -1;
    for (int status = 0;;) {
      const pid_t tid = waitpid(-1, &status, __WALL);
      if (tid < 0) return result;
      if (WIFSTOPPED(status)) {
        stopped(tid, status);
        continue;
      }
      processes_.erase(tid);
      if (tid != root_) continue;
      if (WIFEXITED(status)) result = WEXITSTATUS(status);
      for (const pid_t left : processes_) kill(left, SIGKILL);
    }
  }

 private:
  void stopped(pid_t tid, int status) {
    const int signal = WSTOPSIG(status);
    switch (status >> 16) {
      case PTRACE_EVENT_SECCOMP:
        // Before the system call; it is its end that matters.
        ptrace(PTRACE_SYSCALL, tid, nullptr, 0);
        return;
      case PTRACE_EVENT_EXEC:
        begun(tid);
        break;
      case PTRACE_EVENT_STOP: {
        const pid_t process = process_of(tid);
        if (process == tid && processes_.count(tid) == 0) begun(tid);
        break;
      }
      case 0:
        if (signal == syscall_stop) {
          mapped_(process_of(tid));
          break;
        }
        ptrace(PTRACE_CONT, tid, nullptr, signal);
        return;
      default:
        break;
    }
    ptrace(PTRACE_CONT, tid, nullptr, 0);
  }

  void begun(pid_t process) {
    processes_.insert(process);
    started_(process);
    mapped_(process);
  }

  pid_t root_;
  const std::function<void(pid_t)>& started_;
  const std::function<void(pid_t)>& mapped_;
  std::set<pid_t> processes_;
};

}  // namespace

int run_traced(const std::vector<std::string>& command, const std::function<void(pid_t)>& started,
               const std::function<void(pid_t)>& mapped) {
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) become(command, go[0]);
  close(go[0]);
  // A child that is not traced finds the pipe closed, and ends.
  const bool traced =
      child > 0 && ptrace(PTRACE_SEIZE, child, nullptr, options) == 0 && write(go[1], "g", 1) == 1;
  close(go[1]);
  if (child < 0) return -1;
  const int status = Tree(child, started, mapped).run();
  return traced ? status : -1;
}

}  // namespace leaktrace::tests
