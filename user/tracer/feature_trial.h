// SPDX-License-Identifier: Apache-2.0
// What the checks of features.cpp are made of: each tries one thing and says how it went.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "user/tracer/capabilities.h"
#include "user/tracer/features.h"

namespace leaktrace::tracer {

class HazardTrial;

struct Trial {
  Finding::State state = Finding::State::unknown;
  std::string detail;
};

/// What the checks share; later ones use what earlier ones found.
struct TrialContext {
  Capabilities capabilities;
  const Features* so_far = nullptr;
  std::uint64_t nonce = 0;        ///< marks the calls of this run, never 0
  std::uint32_t kernel_tgid = 0;  ///< this process in the initial pid namespace; 0: not known
  bool uprobe_needs_admin = false;
  std::shared_ptr<HazardTrial> hazards;  ///< of those checks, made by the first of them
  /// Detaching waits for a grace period of the kernel, 0.1 s here: the checks do not wait for it,
  /// but whoever destroys the context does.
  std::vector<std::future<void>> detaching;
};

/// A context for checks that run one after the other; what they find goes to `so_far`.
[[nodiscard]] TrialContext begin_trials(const Features& so_far);

/// A step failed with `error` (an errno value, positive): unknown when it is for want of
/// privileges, else no.
[[nodiscard]] Trial failed_trial(const TrialContext& context, const std::string& step, int error);

/// The same for attaching through perf_event_open; notes when that takes CAP_SYS_ADMIN.
[[nodiscard]] Trial failed_single_attach(TrialContext& context, int error);

// With BPF programs, on a function of this process or on a child (feature_probes.cpp).
[[nodiscard]] Trial try_bpf_load(TrialContext& context);
[[nodiscard]] Trial try_jit(TrialContext& context);
[[nodiscard]] Trial try_uprobe(TrialContext& context);
[[nodiscard]] Trial try_uretprobe(TrialContext& context);
[[nodiscard]] Trial try_attach_cookie(TrialContext& context);
[[nodiscard]] Trial try_ring_buffer(TrialContext& context);
[[nodiscard]] Trial try_bpf_loop(TrialContext& context);
[[nodiscard]] Trial try_uprobe_multi(TrialContext& context);
[[nodiscard]] Trial try_uprobe_multi_return(TrialContext& context);
[[nodiscard]] Trial try_uprobe_multi_cookie(TrialContext& context);
[[nodiscard]] Trial try_uprobe_multi_pid(TrialContext& context);
[[nodiscard]] Trial try_uprobe_session(TrialContext& context);

// The same, with a child that is sacrificed (feature_children.cpp).
[[nodiscard]] Trial try_process_tracepoints(TrialContext& context);
[[nodiscard]] Trial try_hold(TrialContext& context);

// Facts about the system, read from /proc and /sys (feature_environment.cpp).
[[nodiscard]] Trial try_btf(TrialContext& context);
[[nodiscard]] Trial try_map_files(TrialContext& context);
[[nodiscard]] Trial try_process_ids(TrialContext& context);
[[nodiscard]] Trial try_pid_namespace(TrialContext& context);
[[nodiscard]] Trial try_user_namespace(TrialContext& context);
[[nodiscard]] Trial try_cgroup_v2(TrialContext& context);
[[nodiscard]] Trial try_perf_event_paranoid(TrialContext& context);
[[nodiscard]] Trial try_unprivileged_bpf(TrialContext& context);
[[nodiscard]] Trial try_ptrace_scope(TrialContext& context);
[[nodiscard]] Trial try_lockdown(TrialContext& context);
[[nodiscard]] Trial try_memlock(TrialContext& context);
[[nodiscard]] Trial try_open_files(TrialContext& context);

/// The mode in brackets in the text of /sys/kernel/security/lockdown ("none [integrity] …");
/// empty when there is none.
[[nodiscard]] std::string parse_lockdown_mode(const std::string& text);

}  // namespace leaktrace::tracer
