// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/holds.h"

#include <fmt/core.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "user/base/file.h"

namespace leaktrace::tracer {
namespace {

constexpr std::uintptr_t kOptions = PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
constexpr int kSystemCallStop = SIGTRAP | 0x80;  // as PTRACE_O_TRACESYSGOOD marks it

// <sys/ptrace.h>, which declares glibc's ptrace(), cannot be included beside <linux/ptrace.h>.
long trace(long request, pid_t pid, std::uintptr_t address, std::uintptr_t data) {
  return ::syscall(SYS_ptrace, request, static_cast<long>(pid), address, data);
}

int event_of(int status) {
  return status >> 16;
}

pid_t wait_without_blocking(pid_t pid, int& status) {
  pid_t waited = 0;
  do {
    waited = ::waitpid(pid, &status, WNOHANG | __WALL);
  } while (waited < 0 && errno == EINTR);
  return waited;
}

// At the entry of a system call: does it map code?
bool is_mapping_of_code(const ptrace_syscall_info& call) {
  return call.entry.nr == SYS_mmap && (call.entry.args[2] & PROT_EXEC) != 0;
}

}  // namespace

Result<void> Holds::take_before_exec(pid_t pid) {
  if (trace(PTRACE_SEIZE, pid, 0, kOptions) != 0) {
    return fail(describe_errno("cannot hold the command until it is probed (ptrace)", errno),
                "something forbids ptrace here (kernel.yama.ptrace_scope is 3, a sandbox), or "
                "another tracer follows leaktrace; start the program and attach to it");
  }
  holds_[pid] = {.before_exec = true};
  return {};
}

bool Holds::take(pid_t pid) {
  if (has(pid)) return true;
  if (trace(PTRACE_SEIZE, pid, 0, kOptions) != 0) return false;
  holds_[pid] = {};
  trace(PTRACE_INTERRUPT, pid, 0, 0);
  return true;
}

bool Holds::wait_until_standing(pid_t pid) {
  constexpr int kTries = 5000;
  constexpr timespec kPause{0, 100'000};
  int status = 0;
  for (int i = 0; i < kTries; ++i) {
    const pid_t waited = wait_without_blocking(pid, status);
    if (waited == pid && WIFSTOPPED(status)) {
      (void)on_stop(pid, status);
      return true;
    }
    if (waited != 0) {
      forget(pid);
      return false;
    }
    ::nanosleep(&kPause, nullptr);
  }
  return false;
}

bool Holds::on_stop(pid_t pid, int status) {
  auto found = holds_.find(pid);
  if (found == holds_.end()) return false;
  Hold& hold = found->second;
  hold.standing = true;
  hold.group_stop = false;
  hold.signal = 0;
  if (event_of(status) == PTRACE_EVENT_EXEC) {
    hold.before_exec = hold.maps_code = false;
    return !hold.released;
  }
  if (event_of(status) == PTRACE_EVENT_STOP) {
    hold.group_stop = WSTOPSIG(status) != SIGTRAP;
    return !hold.group_stop && !hold.before_exec && !hold.released;
  }
  if (WSTOPSIG(status) != kSystemCallStop) {
    hold.signal = WSTOPSIG(status);
    return false;
  }
  ptrace_syscall_info call{};
  if (trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(call), reinterpret_cast<std::uintptr_t>(&call)) <=
      0) {
    return false;
  }
  const bool maps = call.op == PTRACE_SYSCALL_INFO_ENTRY && is_mapping_of_code(call);
  return std::exchange(hold.maps_code, maps) && !hold.released;
}

void Holds::go_on(pid_t pid, Until until) {
  auto found = holds_.find(pid);
  if (found == holds_.end()) return;
  Hold& hold = found->second;
  if (hold.released) {
    release(pid);
    return;
  }
  hold.standing = false;
  hold.runs_to_exec = until == Until::exec && !hold.before_exec;
  if (!hold.runs_to_exec) hold.settled = false;
  // A failure says that it was killed: wait will tell.
  if (hold.group_stop) {
    trace(PTRACE_LISTEN, pid, 0, 0);
  } else {
    trace(until == Until::exec ? PTRACE_CONT : PTRACE_SYSCALL, pid, 0,
          static_cast<std::uintptr_t>(hold.signal));
  }
}

void Holds::release(pid_t pid) {
  auto found = holds_.find(pid);
  if (found == holds_.end()) return;
  Hold& hold = found->second;
  if (!hold.standing) {
    hold.released = true;
    trace(PTRACE_INTERRUPT, pid, 0, 0);
    return;
  }
  const auto signal = static_cast<std::uintptr_t>(hold.signal);
  // Killed in the meantime, it has to be waited for still: its parent hears of its end after that.
  if (trace(PTRACE_DETACH, pid, 0, signal) != 0 && errno == ESRCH) {
    hold.standing = false;
    hold.released = true;
    return;
  }
  holds_.erase(found);
}

void Holds::release_all() {
  std::vector<pid_t> pids;
  for (const auto& [pid, hold] : holds_) pids.push_back(pid);
  for (const pid_t pid : pids) release(pid);
}

void Holds::release_settled() {
  std::vector<pid_t> settled;
  for (auto& [pid, hold] : holds_) {
    if (!hold.runs_to_exec || hold.released) continue;
    if (std::exchange(hold.settled, true)) settled.push_back(pid);
  }
  for (const pid_t pid : settled) release(pid);
}

void Holds::look_after_released(pid_t except) {
  std::vector<pid_t> pids;
  for (const auto& [pid, hold] : holds_) {
    if (hold.released && pid != except) pids.push_back(pid);
  }
  for (const pid_t pid : pids) {
    int status = 0;
    const pid_t waited = wait_without_blocking(pid, status);
    if (waited == 0) continue;
    if (waited != pid || !WIFSTOPPED(status)) {
      forget(pid);
      continue;
    }
    (void)on_stop(pid, status);
    release(pid);
  }
}

}  // namespace leaktrace::tracer
