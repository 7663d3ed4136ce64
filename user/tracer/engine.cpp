// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "engine.skel.h"
#include "user/base/file.h"
#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

// BPF_TRACE_UPROBE_MULTI (Linux 6.6), which the headers of Debian 12 do not have yet.
constexpr auto kTraceUprobeMulti = static_cast<bpf_attach_type>(48);

int print_libbpf(libbpf_print_level, const char* format, va_list arguments) {
  if (!log::enabled(log::Level::debug)) return 0;
  std::array<char, 4096> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string text(line.data());
  while (text.ends_with('\n')) text.pop_back();
  log::debug("{}", text);
  return 0;
}

Unexpected load_error(int error) {
  if (error == -EPERM || error == -EACCES) {
    return fail("the kernel does not let this user load BPF programs",
                "run as root, or see leaktrace doctor for the capabilities that are missing");
  }
  if (error == -ESRCH || error == -ENOENT) {
    return fail(describe_errno("cannot load the BPF programs", -error),
                "is the kernel built with BTF (CONFIG_DEBUG_INFO_BTF)? see leaktrace doctor");
  }
  return fail(describe_errno("cannot load the BPF programs", -error),
              "leaktrace --verbose shows the kernel's words; see leaktrace doctor");
}

bool is_return_program(EngineProgram program) {
  return program == EngineProgram::acquire_exit || program == EngineProgram::release_exit;
}

Unexpected attach_error(int error) {
  if (error == ESRCH) return fail("the process ended while attaching");
  if (error == EPERM || error == EACCES) {
    return fail("the kernel does not let this user attach probes",
                "run as root, or see leaktrace doctor for the capabilities that are missing");
  }
  if (error == EMFILE || error == ENFILE) {
    return fail(describe_errno("cannot attach a probe", error), "raise the limit: ulimit -n 65536");
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
                            ProbeMode mode) {
  libbpf_set_print(print_libbpf);
  Skeleton skeleton(engine_bpf__open());
  if (!skeleton) return load_error(-errno);

  skeleton->rodata->min_size = limits.min_size;
  skeleton->rodata->max_size = limits.max_size;
  auto& maps = skeleton->maps;
  bpf_map__set_max_entries(maps.live_resources, static_cast<std::uint32_t>(limits.live));
  bpf_map__set_max_entries(maps.call_stacks, static_cast<std::uint32_t>(limits.stacks));
  bpf_map__set_max_entries(maps.retiring_stacks, static_cast<std::uint32_t>(limits.stacks));
  bpf_map__set_max_entries(maps.call_sites, static_cast<std::uint32_t>(limits.sites));
  bpf_map__set_max_entries(maps.threads, static_cast<std::uint32_t>(limits.threads));
  bpf_map__set_max_entries(maps.events, limits.ring_bytes);

  Engine engine(std::move(skeleton), mode);
  if (mode == ProbeMode::multi) {
    for (auto which :
         {EngineProgram::acquire_enter, EngineProgram::acquire_exit, EngineProgram::release_enter,
          EngineProgram::release_exit, EngineProgram::replace_enter, EngineProgram::code_mapped,
          EngineProgram::entry_reached}) {
      bpf_program__set_expected_attach_type(engine.program(which), kTraceUprobeMulti);
    }
  }
  if (int error = engine_bpf__load(engine.skeleton_.get())) return load_error(error);

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
    case EngineProgram::acquire_enter:
      return programs.acquire_enter;
    case EngineProgram::acquire_exit:
      return programs.acquire_exit;
    case EngineProgram::release_enter:
      return programs.release_enter;
    case EngineProgram::release_exit:
      return programs.release_exit;
    case EngineProgram::replace_enter:
      return programs.replace_enter;
    case EngineProgram::code_mapped:
      return programs.code_mapped;
    case EngineProgram::entry_reached:
      return programs.entry_reached;
  }
  return nullptr;
}

Result<std::vector<Link>> Engine::attach(EngineProgram which, pid_t pid, int fd,
                                         const ProbeTargets& targets) {
  if (targets.offsets.empty()) return std::vector<Link>();
  // By descriptor, so that it is the very file that the process maps, in whatever namespace.
  std::string path = fmt::format("/proc/self/fd/{}", fd);
  return mode_ == ProbeMode::multi
             ? attach_multi(program(which), is_return_program(which), pid, path.c_str(), targets)
             : attach_single(program(which), is_return_program(which), pid, path.c_str(), targets);
}

Result<std::vector<Link>> Engine::attach_multi(bpf_program* program, bool on_return, pid_t pid,
                                               const char* path, const ProbeTargets& targets) {
  LIBBPF_OPTS(bpf_uprobe_multi_opts, options);
  options.offsets = targets.offsets.data();
  options.cookies = reinterpret_cast<const __u64*>(targets.cookies.data());
  options.cnt = targets.offsets.size();
  options.retprobe = on_return;
  Link link(bpf_program__attach_uprobe_multi(program, pid, path, nullptr, &options));
  if (!link) return attach_error(errno);
  std::vector<Link> links;
  links.push_back(std::move(link));
  return links;
}

Result<std::vector<Link>> Engine::attach_single(bpf_program* program, bool on_return, pid_t pid,
                                                const char* path, const ProbeTargets& targets) {
  std::vector<Link> links;
  for (std::size_t i = 0; i < targets.offsets.size(); ++i) {
    LIBBPF_OPTS(bpf_uprobe_opts, options);
    options.retprobe = on_return;
    options.bpf_cookie = targets.cookies[i];
    Link link(bpf_program__attach_uprobe_opts(program, pid, path, targets.offsets[i], &options));
    if (!link) return attach_error(errno);
    links.push_back(std::move(link));
  }
  return links;
}

Result<Link> Engine::attach_mapping_stops() {
  Link link(bpf_program__attach(skeleton_->progs.stop_at_mapping));
  if (!link) return fail(describe_errno("cannot follow the start of the program", errno));
  return link;
}

EngineMaps Engine::maps() const {
  const auto& maps = skeleton_->maps;
  return {.events = bpf_map__fd(maps.events),
          .call_sites = bpf_map__fd(maps.call_sites),
          .call_stacks = bpf_map__fd(maps.call_stacks),
          .retiring_stacks = bpf_map__fd(maps.retiring_stacks),
          .stacks_retire = bpf_map__fd(maps.stacks_retire),
          .live_resources = bpf_map__fd(maps.live_resources),
          .losses = bpf_map__fd(maps.losses),
          .probe_hits = bpf_map__fd(maps.probe_hits)};
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
  return {};
}

void Engine::remove_process(pid_t pid) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.processes), &pid);
}

Result<void> Engine::set_python(std::uint32_t image, const lt_python& python) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.pythons), &image, &python, BPF_ANY) != 0) {
    return fail(describe_errno("cannot add to the table of Python processes", errno));
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
