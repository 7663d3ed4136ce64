// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>

#include "user/base/result.h"

namespace leaktrace::tracer {

/// Processes that stand still, by ptrace(2), until the code that they are about to run is probed.
///
/// No signal stops them: the kernel lets a traced process go when its tracer ends, in whatever way,
/// while one that SIGSTOP stopped waits for a SIGCONT that nobody sends; and its parent (a shell
/// with job control, su, sudo) sees nothing of it. Signals that arrive meanwhile are passed on, and
/// a stop by the user stays one. Only the thread that has been running first is held. A debugger
/// cannot attach in the meantime.
///
/// Whoever waits for children passes on what wait says of a held process. All of it in one thread.
class Holds {
 public:
  Holds() = default;
  Holds(const Holds&) = delete;
  Holds& operator=(const Holds&) = delete;

  /// Takes a process that waits to exec a program: it will stand still at the exec. An error where
  /// it cannot be traced.
  [[nodiscard]] Result<void> take_before_exec(pid_t pid);

  /// Stops a process at once: one that has execed and is kept waiting by the BPF side
  /// (bpf/lib/hold.bpf.h) before its first instruction. False when it cannot be traced: it has
  /// ended, or a debugger has it.
  [[nodiscard]] bool take(pid_t pid);

  [[nodiscard]] bool has(pid_t pid) const { return holds_.contains(pid); }

  /// Waits until a taken process stands still, half a second at most; false when it does not.
  [[nodiscard]] bool wait_until_standing(pid_t pid);

  /// A held process has stopped, with this status of wait(2). True when there may be new code in
  /// it, of which nothing has run: after an exec, after a mapping.
  [[nodiscard]] bool on_stop(pid_t pid, int status);

  /// Lets a process that has stopped go on: to its next exec, or to its next system call.
  enum class Until { exec, system_call };
  void go_on(pid_t pid, Until until);

  /// Lets a process go for good; one that does not stand still as soon as it does.
  void release(pid_t pid);
  void release_all();
  /// Releases those that have gone on to their next exec since before the last call: what only
  /// executes another program (env, a shell) has done that by then.
  void release_settled();

  /// It has ended: there is nothing to hold.
  void forget(pid_t pid) { holds_.erase(pid); }

  /// Looks, without blocking, after those that were released but did not stand still. `except`: one
  /// that the caller itself waits for.
  void look_after_released(pid_t except);

 private:
  struct Hold {
    bool before_exec = false;
    bool standing = false;
    bool group_stop = false;  ///< stopped by a signal of the user's, for as long as that lasts
    bool maps_code = false;   ///< is in a system call that does
    bool released = false;
    bool runs_to_exec = false;
    bool settled = false;  ///< for longer than from one release_settled() to the next
    int signal = 0;        ///< to be delivered when it goes on
  };

  std::map<pid_t, Hold> holds_;
};

}  // namespace leaktrace::tracer
