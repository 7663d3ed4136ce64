// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace leaktrace::tracer {

/// What one check found. The id is stable: scripts read it.
struct Finding {
  enum class State {
    yes,      ///< tried, and it works
    no,       ///< tried, and it does not
    unknown,  ///< could not be tried; the detail says why
  };

  std::string id;     ///< "uprobe_multi"
  std::string title;  ///< what it is, for a person: "probes on many functions at once"
  State state = State::unknown;
  bool required = false;  ///< without it nothing can be traced; uprobe is not where uprobe_multi is
  std::string detail;     ///< what was seen, or why it failed
  std::string consequence;  ///< of a no, for the user, in plain words; else empty
};

/// What this kernel and this process can do. Each flag is true only when it was tried and worked.
struct Features {
  bool btf = false;
  bool bpf_load = false;  ///< a tracing program loads
  bool bpf_loop = false;  ///< the helper bpf_loop works (5.17)
  bool ring_buffer = false;
  bool uprobe = false;  ///< through perf_event_open, one function a call
  bool uretprobe = false;
  bool attach_cookie = false;       ///< bpf_get_attach_cookie in a uprobe
  bool uprobe_needs_admin = false;  ///< the three above were refused for want of CAP_SYS_ADMIN
  bool uprobe_multi = false;        ///< one link for many functions (6.6)
  bool uprobe_multi_return = false;
  bool uprobe_multi_cookie = false;
  bool uprobe_multi_pid = false;       ///< its pid filter sees every thread of the process (6.10)
  bool uprobe_session = false;         ///< one program for entry and return (6.13)
  bool uretprobe_seccomp = false;      ///< a return probe does not trip a process's seccomp filter
  bool process_tracepoints = false;    ///< tp_btf sched_process_fork, _exec and _exit
  bool hold = false;                   ///< ptrace stops a child at its exec
  bool map_files = false;              ///< files can be opened through /proc/PID/map_files
  bool initial_pid_namespace = false;  ///< process ids are the same here and in BPF programs

  std::vector<Finding> findings;  ///< one for each flag, and the facts beside them

  /// True when every required finding is yes.
  [[nodiscard]] bool can_trace() const;
  /// The finding of that id, or null.
  [[nodiscard]] const Finding* find(std::string_view id) const;
};

/// Tries everything on the running kernel, with programs of its own on a function of this process
/// and on a child that it forks and ends. Takes a fraction of a second, leaves nothing attached,
/// and needs no privileges: what they would be needed for is unknown. The ring buffer and maps
/// that it makes are gone when it returns. Not for use in two threads at once.
[[nodiscard]] Features probe_features();

/// Do uprobe-multi links work here as tracing needs them? The one check that is made before each
/// trace: it takes a tenth of a second.
[[nodiscard]] bool multi_probes_work();

/// Do sessions, for entry and return at once? (Linux 6.13)
[[nodiscard]] bool sessions_work();

/// Does the kernel refuse probes through perf_event_open for want of CAP_SYS_ADMIN, with the
/// capabilities that are in effect now? (Linux 6.16, and stable kernels since)
[[nodiscard]] bool single_probes_need_admin();

}  // namespace leaktrace::tracer
