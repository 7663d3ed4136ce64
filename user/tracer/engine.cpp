// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <sched.h>

#include <cerrno>
#include <string>

#include "engine.skel.h"
#include "user/base/file.h"
#include "user/base/log.h"
#include "user/tracer/libbpf_log.h"
#include "user/tracer/load_error.h"
#include "user/tracer/pid_namespace.h"
#include "user/tracer/session_link.h"

namespace leaktrace::tracer {
namespace {

std::optional<Capabilities> own_capabilities() {
  auto own = read_capabilities();
  return own ? std::optional(std::move(own).value()) : std::nullopt;
}

// How long a program that was executed waits for this process, which may have to wait for a
// processor itself: the wait is a busy one, and the kernel does not preempt it. With one processor
// it would be in vain.
std::uint64_t hold_wait_ns() {
  constexpr std::uint64_t kWait = 10'000'000;
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (::sched_getaffinity(0, sizeof(processors), &processors) != 0) return kWait;
  return CPU_COUNT(&processors) > 1 ? kWait : 0;
}

Unexpected attach_error(int error) {
  if (error == ESRCH) return fail("the process ended while attaching");
  if (error == EPIPE) return fail("the process that keeps leaktrace's probes has ended");
  if (error == EPERM || error == EACCES) {
    return fail("the kernel does not let this user attach probes",
                "run as root, or see leaktrace doctor for the capabilities that are missing");
  }
  if (error == EMFILE || error == ENFILE) {
    return fail(describe_errno("cannot attach a probe", error),
                "raise the limit on open files: ulimit -n 65536");
  }
  return fail(describe_errno("cannot attach a probe", error), "see leaktrace doctor");
}

}  // namespace

void Engine::SkeletonDeleter::operator()(engine_bpf* skeleton) const {
  engine_bpf__destroy(skeleton);
}

Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Result<Engine> Engine::load(const EngineLimits& limits, const std::vector<catalog::Row>& rows,
                            ProbeMode mode, const LoadWatch& watch) {
  send_libbpf_to_log();
  const auto pids = own_pid_namespace();
  if (!pids) return pids.unexpected();
  Skeleton skeleton(engine_bpf__open());
  if (!skeleton) return load_error(-errno, std::nullopt, own_capabilities());

  const auto buckets = static_cast<std::uint32_t>(LT_LIVE_BUCKETS(limits.live));
  skeleton->rodata->min_size = limits.min_size;
  skeleton->rodata->max_size = limits.max_size;
  skeleton->rodata->stack_depth = limits.stack_depth;
  skeleton->rodata->max_threads = limits.threads;
  skeleton->rodata->live_buckets = buckets;
  skeleton->rodata->own_pid_level = pids->level;
  skeleton->rodata->own_pid_namespace = pids->inode;
  skeleton->rodata->pg_text_bytes = limits.pg_text_bytes;
  skeleton->rodata->hold_wait_ns = hold_wait_ns();
  skeleton->bss->sampling.base = limits.sampling_base;
  auto& maps = skeleton->maps;
  bpf_map__set_max_entries(maps.live_resources, buckets);
  bpf_map__set_max_entries(maps.call_stacks, static_cast<std::uint32_t>(limits.stacks));
  bpf_map__set_max_entries(maps.retiring_stacks, static_cast<std::uint32_t>(limits.stacks));
  bpf_map__set_max_entries(maps.call_sites, static_cast<std::uint32_t>(limits.sites));
  bpf_map__set_max_entries(maps.site_lifetimes, static_cast<std::uint32_t>(limits.sites));
  bpf_map__set_max_entries(maps.events, limits.ring_bytes);
  bpf_map__set_max_entries(maps.pg_sessions, static_cast<std::uint32_t>(limits.pg_connections));

  Engine engine(std::move(skeleton), mode);
  engine.choose_programs();
  const VerifierLogs logs(engine.skeleton_->obj);
  if (watch.before) watch.before(engine.skeleton_->obj);
  if (int error = engine_bpf__load(engine.skeleton_.get()))
    return load_error(error, logs.refused(), own_capabilities());
  if (watch.after) watch.after(engine.skeleton_->obj);

  int rows_fd = bpf_map__fd(engine.skeleton_->maps.catalog_rows);
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    if (bpf_map_update_elem(rows_fd, &i, &rows[i].abi, BPF_ANY) != 0) {
      return fail(describe_errno("cannot fill in the catalog", errno));
    }
  }
  auto followed = engine.follow_processes();
  if (!followed) return followed.unexpected();
  return engine;
}

// Those of the other modes are not loaded: each costs the verifier time. Plain releases and what
// follows the loader have no return to wait for.
void Engine::choose_programs() {
  const bool sessions = mode_ == ProbeMode::session;
  bpf_program__set_autoload(program(EngineProgram::call_session), sessions);
  bpf_program__set_expected_attach_type(program(EngineProgram::call_session), kUprobeSession);
  if (mode_ == ProbeMode::single) return;
  for (auto which :
       {EngineProgram::call_entered, EngineProgram::release_enter, EngineProgram::call_returned,
        EngineProgram::code_mapped, EngineProgram::entry_reached}) {
    bpf_program__set_expected_attach_type(program(which), kTraceUprobeMulti);
  }
}

Result<void> Engine::follow_processes() {
  for (bpf_program* program :
       {skeleton_->progs.follow_fork, skeleton_->progs.follow_exec, skeleton_->progs.follow_exit}) {
    Link link(bpf_program__attach(program));
    if (!link) {
      return fail(
          describe_errno(fmt::format("cannot attach {}", bpf_program__name(program)), errno),
          "see leaktrace doctor");
    }
    process_links_.push_back(std::move(link));
  }
  return {};
}

bpf_program* Engine::program(EngineProgram which) const {
  const auto& programs = skeleton_->progs;
  switch (which) {
    case EngineProgram::call_entered:
      return programs.call_entered;
    case EngineProgram::release_enter:
      return programs.release_enter;
    case EngineProgram::call_session:
      return programs.call_session;
    case EngineProgram::call_returned:
      return programs.call_returned;
    case EngineProgram::code_mapped:
      return programs.code_mapped;
    case EngineProgram::entry_reached:
      return programs.entry_reached;
  }
  return nullptr;
}

LinkKind Engine::link_kind(EngineProgram which) const {
  if (which == EngineProgram::call_session) return LinkKind::session;
  return mode_ == ProbeMode::single ? LinkKind::single : LinkKind::multi;
}

Result<void> Engine::give_links_to(LinkKeeper& keeper) {
  const auto* variables = skeleton_->bss;
  const auto offset = [variables](const volatile void* variable) {
    return static_cast<std::size_t>(static_cast<const volatile char*>(variable) -
                                    reinterpret_cast<const volatile char*>(variables));
  };
  keeper_ = &keeper;
  return keeper.set_up({.variables_fd = bpf_map__fd(skeleton_->maps.bss),
                        .variables_bytes = bpf_map__value_size(skeleton_->maps.bss),
                        .closing_at = offset(&variables->closing),
                        .window_from_at = offset(&variables->sampling.window_from),
                        .program_fd = bpf_program__fd(program(EngineProgram::code_mapped)),
                        .kind = link_kind(EngineProgram::code_mapped)});
}

Result<std::vector<Link>> Engine::attach(EngineProgram which, pid_t pid, int fd,
                                         const ProbeTargets& targets, bool costly) {
  if (targets.offsets.empty()) return std::vector<Link>();
  auto attached = keeper_->attach({.program_fd = bpf_program__fd(program(which)),
                                   .kind = link_kind(which),
                                   .on_return = targets.by_trampoline,
                                   .pid = pid,
                                   .file_fd = fd,
                                   .offsets = targets.offsets,
                                   .cookies = targets.cookies,
                                   .costly = costly});
  if (attached.error != 0) return attach_error(attached.error);
  std::vector<Link> links;
  if (attached.link) links.push_back(std::move(attached.link));
  return links;
}

void Engine::answer_exec() {
  skeleton_->bss->hold_unanswered = 0;
}

EngineMaps Engine::maps() const {
  const auto& maps = skeleton_->maps;
  return {.events = bpf_map__fd(maps.events),
          .call_sites = bpf_map__fd(maps.call_sites),
          .call_stacks = bpf_map__fd(maps.call_stacks),
          .retiring_stacks = bpf_map__fd(maps.retiring_stacks),
          .stacks_retire = bpf_map__fd(maps.stacks_retire),
          .live_resources = bpf_map__fd(maps.live_resources),
          .site_lifetimes = bpf_map__fd(maps.site_lifetimes),
          .losses = bpf_map__fd(maps.losses),
          .probe_hits = bpf_map__fd(maps.probe_hits),
          .pg_sessions = bpf_map__fd(maps.pg_sessions),
          .state_epoch = &skeleton_->data->state_epoch};
}

// Threads look their process up again.
void Engine::change_state() {
  __atomic_fetch_add(&skeleton_->data->state_epoch, 1, __ATOMIC_SEQ_CST);
}

void Engine::set_sampling_step(std::uint32_t step) {
  skeleton_->bss->sampling.step = step;
}

lt_hits Engine::hits(std::uint32_t slot) const {
  lt_hits sum{};
  std::vector<lt_hits> of_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.probe_hits), &slot, of_cpu.data()) != 0) {
    return sum;
  }
  for (const lt_hits& one : of_cpu) {
    sum.entries += one.entries;
    sum.stepped += one.stepped;
    sum.returns += one.returns;
    sum.timed += one.timed;
    sum.timed_ns += one.timed_ns;
    sum.samples += one.samples;
  }
  return sum;
}

UnwindMapFds Engine::unwind_maps() const {
  const auto& maps = skeleton_->maps;
  return {.rows = bpf_map__fd(maps.unwind_rows),
          .pages = bpf_map__fd(maps.unwind_pages),
          .ranges = bpf_map__fd(maps.unwind_ranges),
          .rules = bpf_map__fd(maps.unwind_rules),
          .procs = bpf_map__fd(maps.unwind_procs)};
}

Result<void> Engine::set_process(pid_t pid, lt_process process) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.processes), &pid, &process, BPF_ANY) != 0) {
    return fail(describe_errno("cannot add to the table of processes", errno));
  }
  change_state();
  return {};
}

void Engine::remove_process(pid_t pid) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.processes), &pid);
  change_state();
}

Result<void> Engine::set_python(std::uint32_t image, const lt_python& python) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.pythons), &image, &python, BPF_ANY) != 0) {
    return fail(describe_errno("cannot add to the table of Python processes", errno));
  }
  change_state();
  return {};
}

Result<void> Engine::set_pg_layout(std::uint32_t index, const lt_pg_layout& layout) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.pg_layouts), &index, &layout, BPF_ANY) != 0) {
    return fail(describe_errno("cannot add to the table of libpq's", errno));
  }
  return {};
}

void Engine::remove_python(std::uint32_t image) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.pythons), &image);
}

std::optional<lt_process> Engine::process(pid_t pid) const {
  lt_process process{};
  if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.processes), &pid, &process) != 0) {
    return std::nullopt;
  }
  return process;
}

}  // namespace leaktrace::tracer
