// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/features.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <random>

#include "user/base/file.h"
#include "user/tracer/feature_programs.h"
#include "user/tracer/feature_trial.h"
#include "user/tracer/hazard_trial.h"

namespace leaktrace::tracer {
namespace {

enum class Weight { required, useful, fact };

/// One check: what it is called, where its answer goes, and what its absence means.
struct Check {
  const char* id;
  const char* title;
  Weight weight;
  bool Features::*flag;  ///< null for a fact that no code depends on
  Trial (*attempt)(TrialContext&);
  const char* consequence;            ///< when the answer is no
  bool Features::*instead = nullptr;  ///< a flag that makes it dispensable
};

template <ReturnProbe probe, Hazard hazard>
Trial try_hazard(TrialContext& context) {
  if (!context.hazards) context.hazards = std::make_shared<HazardTrial>();
  return context.hazards->run(context, probe, hazard);
}

constexpr const char* kFewTrampolines =
    "leaktrace uses none where this can happen: it probes the return instructions instead";
constexpr const char* kNoTrampolines =
    "leaktrace uses none here: it probes the return instructions instead, which costs more";
constexpr const char* kNoOwnReturns =
    "functions whose return must be seen like this are not traced here; reports say so";

// In the order in which they run and are shown. Checks that read Features::so_far come after those
// that they read.
constexpr Check kChecks[] = {
    {"btf", "kernel type information (BTF)", Weight::required, &Features::btf, try_btf,
     "nothing can be traced: the kernel must be built with CONFIG_DEBUG_INFO_BTF"},
    {"bpf_load", "tracing programs load", Weight::required, &Features::bpf_load, try_bpf_load,
     "nothing can be traced"},
    {"jit", "programs run as machine code", Weight::useful, nullptr, try_jit,
     "every probe costs several times as much: set net.core.bpf_jit_enable to 1"},
    {"uprobe_multi", "probes on many functions at once (6.6)", Weight::useful,
     &Features::uprobe_multi, try_uprobe_multi,
     "attaching takes one system call and one descriptor a function, and is slower; it sees the "
     "same"},
    {"uprobe_multi_return", "the same, on returns", Weight::useful, &Features::uprobe_multi_return,
     try_uprobe_multi_return, "returns are attached one function at a time; it sees the same"},
    {"uprobe_multi_cookie", "the same, with a number for each function", Weight::useful,
     &Features::uprobe_multi_cookie, try_uprobe_multi_cookie,
     "functions are attached one at a time; it sees the same"},
    {"uprobe_multi_pid", "the same, on all threads of one process (6.10)", Weight::useful,
     &Features::uprobe_multi_pid, try_uprobe_multi_pid,
     "probes are hit by every process that uses the library, and leaktrace drops what it does not "
     "trace: other processes are slowed down too"},
    {"uprobe", "a probe on one function's entry", Weight::required, &Features::uprobe, try_uprobe,
     "nothing can be traced: the kernel must be built with CONFIG_UPROBE_EVENTS",
     &Features::uprobe_multi},
    {"uretprobe", "a probe on one function's return", Weight::required, &Features::uretprobe,
     try_uretprobe, "nothing can be traced: what a call returned is not seen",
     &Features::uprobe_multi_return},
    {"attach_cookie", "a probe on one function carries a number (5.15)", Weight::required,
     &Features::attach_cookie, try_attach_cookie,
     "nothing can be traced: programs cannot tell probed functions apart",
     &Features::uprobe_multi_cookie},
    {"uprobe_session", "one probe for entry and return (6.13)", Weight::useful,
     &Features::uprobe_session, try_uprobe_session,
     "entry and return are two probes; it sees the same"},
    {"ring_buffer", "ring buffer (5.8)", Weight::required, &Features::ring_buffer, try_ring_buffer,
     "nothing can be traced: events have no way to leaktrace"},
    {"bpf_loop", "loops in programs (5.17)", Weight::useful, &Features::bpf_loop, try_bpf_loop,
     "programs that loop through the kernel's helper do not load"},
    {"uretprobe_exception", "return trampolines survive an exception", Weight::fact, nullptr,
     try_hazard<ReturnProbe::trampoline, Hazard::exception>, kFewTrampolines},
    {"uretprobe_forced_unwind", "return trampolines survive the end of a thread", Weight::fact,
     nullptr, try_hazard<ReturnProbe::trampoline, Hazard::forced_unwind>, kFewTrampolines},
    {"uretprobe_cancellation", "return trampolines survive the cancellation of a thread",
     Weight::fact, nullptr, try_hazard<ReturnProbe::trampoline, Hazard::cancellation>,
     kFewTrampolines},
    {"uretprobe_fiber", "return trampolines survive a switch of fibers", Weight::fact, nullptr,
     try_hazard<ReturnProbe::trampoline, Hazard::fiber>, kFewTrampolines},
    {"uretprobe_backtrace", "return trampolines survive a backtrace", Weight::fact, nullptr,
     try_hazard<ReturnProbe::trampoline, Hazard::backtrace>, kFewTrampolines},
    {"uretprobe_seccomp", "return trampolines survive a seccomp filter", Weight::useful,
     &Features::uretprobe_seccomp, try_hazard<ReturnProbe::trampoline, Hazard::seccomp>,
     kNoTrampolines},
    {"uretprobe_shadow_stack", "return trampolines survive a shadow stack", Weight::useful, nullptr,
     try_hazard<ReturnProbe::trampoline, Hazard::shadow_stack>, kNoTrampolines},
    {"own_return_exception", "probes on return instructions survive an exception", Weight::useful,
     nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::exception>, kNoOwnReturns},
    {"own_return_forced_unwind", "probes on return instructions survive the end of a thread",
     Weight::useful, nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::forced_unwind>,
     kNoOwnReturns},
    {"own_return_cancellation",
     "probes on return instructions survive the cancellation of a thread", Weight::useful, nullptr,
     try_hazard<ReturnProbe::own_instruction, Hazard::cancellation>, kNoOwnReturns},
    {"own_return_fiber", "probes on return instructions survive a switch of fibers", Weight::useful,
     nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::fiber>, kNoOwnReturns},
    {"own_return_backtrace", "probes on return instructions survive a backtrace", Weight::useful,
     nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::backtrace>, kNoOwnReturns},
    {"own_return_seccomp", "probes on return instructions survive a seccomp filter", Weight::useful,
     nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::seccomp>, kNoOwnReturns},
    {"own_return_shadow_stack", "probes on return instructions survive a shadow stack",
     Weight::useful, nullptr, try_hazard<ReturnProbe::own_instruction, Hazard::shadow_stack>,
     kNoOwnReturns},
    {"process_tracepoints", "forks, execs and exits are seen", Weight::required,
     &Features::process_tracepoints, try_process_tracepoints,
     "nothing can be traced: children and new programs would be counted wrongly"},
    {"hold", "a process can be held as it starts (ptrace)", Weight::useful, &Features::hold,
     try_hold,
     "leaktrace run refuses to start a program, for it would miss how that begins: start "
     "it, and attach to it"},
    {"map_files", "mapped files can be opened", Weight::useful, &Features::map_files, try_map_files,
     "libraries are opened by their path: one that was deleted or replaced while in use cannot be "
     "read, and its functions have no names"},
    {"initial_user_namespace", "capabilities count for the kernel", Weight::fact, nullptr,
     try_user_namespace, "BPF is not for user namespaces: run leaktrace on the host"},
    {"process_ids", "process ids can be told", Weight::required, nullptr, try_process_ids,
     "nothing can be traced: leaktrace does not know which process is which"},
    {"initial_pid_namespace", "process ids are the kernel's", Weight::fact,
     &Features::initial_pid_namespace, try_pid_namespace,
     "ids are translated; only processes of this pid namespace, and of those within it, can be "
     "traced"},
    {"cgroup_v2", "control groups, version 2", Weight::fact, nullptr, try_cgroup_v2,
     "processes cannot be chosen by control group: use -p or --comm"},
    {"perf_event_paranoid", "kernel.perf_event_paranoid lets us", Weight::fact, nullptr,
     try_perf_event_paranoid, "probes need CAP_PERFMON"},
    {"unprivileged_bpf", "BPF is allowed to us", Weight::fact, nullptr, try_unprivileged_bpf,
     "tracing programs need CAP_BPF, whatever the setting is"},
    {"ptrace_scope", "Yama's ptrace_scope lets us", Weight::fact, nullptr, try_ptrace_scope,
     "processes cannot be held with ptrace; leaktrace traces without it"},
    {"lockdown", "the kernel is not locked down", Weight::fact, nullptr, try_lockdown,
     "in confidentiality mode the kernel refuses programs that read its memory"},
    {"memlock", "limit on locked memory (RLIMIT_MEMLOCK)", Weight::fact, nullptr, try_memlock, ""},
    {"open_files", "limit on open files (RLIMIT_NOFILE)", Weight::fact, nullptr, try_open_files,
     "each probed function takes a descriptor here: raise the limit (ulimit -n 4096)"},
};

std::uint64_t random_nonce() {
  std::random_device device;
  // Above every pid, size and pointer, so that it is found in no register by chance.
  return (std::uint64_t{0x8000'0000U | device()} << 32) | device();
}

}  // namespace

Trial failed_trial(const TrialContext& context, const std::string& step, int error) {
  const auto why = describe_errno(step, error);
  if (error != EPERM && error != EACCES) return {Finding::State::no, why};
  std::string lacking;
  for (const auto& need : context.capabilities.missing()) {
    if (!need.for_bpf) continue;
    if (!lacking.empty()) lacking += " and ";
    lacking += need.name;
  }
  if (!lacking.empty()) return {Finding::State::unknown, "not tried: it takes " + lacking};
  if (!context.capabilities.initial_user_namespace)
    return {Finding::State::unknown, why + " (this process is in a user namespace)"};
  return {Finding::State::no,
          why +
              " (although the capabilities are there: a seccomp filter, a security module or "
              "lockdown forbids it)"};
}

// Linux 6.16 and stable kernels since (ba677dbe77af "perf: Revert to requiring CAP_SYS_ADMIN for
// uprobes") refuse CAP_PERFMON for these, though not for uprobe-multi.
Trial failed_single_attach(TrialContext& context, int error) {
  constexpr int kSysAdmin = 21;
  if (error != EACCES || context.capabilities.effective.allows(kSysAdmin))
    return failed_trial(context, "attaching", error);
  context.uprobe_needs_admin = true;
  return {Finding::State::unknown, "not tried: on this kernel it takes CAP_SYS_ADMIN"};
}

bool Features::can_trace() const {
  return std::ranges::none_of(findings, [](const Finding& finding) {
    return finding.required && finding.state != Finding::State::yes;
  });
}

const Finding* Features::find(std::string_view id) const {
  const auto found = std::ranges::find(findings, id, &Finding::id);
  return found == findings.end() ? nullptr : &*found;
}

TrialContext begin_trials(const Features& so_far) {
  TrialContext context;
  if (const auto capabilities = read_capabilities()) context.capabilities = *capabilities;
  context.so_far = &so_far;
  context.nonce = random_nonce();
  return context;
}

bool multi_probes_work() {
  const QuietLibbpf quiet;
  const Features nothing;
  TrialContext context = begin_trials(nothing);
  // Returns and cookies came with the links themselves (6.6), the right filter later.
  return try_uprobe_multi_pid(context).state == Finding::State::yes;
}

bool sessions_work() {
  const QuietLibbpf quiet;
  const Features nothing;
  TrialContext context = begin_trials(nothing);
  return try_uprobe_session(context).state == Finding::State::yes;
}

bool single_probes_need_admin() {
  const QuietLibbpf quiet;
  const Features nothing;
  TrialContext context = begin_trials(nothing);
  (void)try_uprobe(context);
  return context.uprobe_needs_admin;
}

Features probe_features() {
  const QuietLibbpf quiet;
  Features features;
  TrialContext context = begin_trials(features);
  for (const auto& check : kChecks) {
    const auto trial = check.attempt(context);
    if (check.flag != nullptr) features.*check.flag = trial.state == Finding::State::yes;
    const bool required = check.weight == Weight::required &&
                          (check.instead == nullptr || !(features.*check.instead));
    features.findings.push_back({check.id, check.title, trial.state, required, trial.detail,
                                 trial.state == Finding::State::no ? check.consequence : ""});
  }
  if (context.hazards) context.hazards->detach_later(context);
  features.uprobe_needs_admin = context.uprobe_needs_admin;
  return features;
}

}  // namespace leaktrace::tracer
