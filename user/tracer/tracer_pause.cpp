// SPDX-License-Identifier: Apache-2.0
// Taking probes out of the traced processes for a time, and putting them back.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>

#include "user/base/log.h"
#include "user/base/unique_fd.h"
#include "user/tracer/calibration.h"
#include "user/tracer/tracer.h"

namespace leaktrace::tracer {
namespace {

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

using Take = std::vector<Link> (FileProbes::*)();

void take_links(std::map<std::uint32_t, FileProbes>& probes, Take take, std::vector<Link>& links) {
  for (auto& [module, of_file] : probes)
    std::ranges::move((of_file.*take)(), std::back_inserter(links));
}

}  // namespace

std::vector<Link> Tracer::take_links(bool all) {
  const Take take = all ? &FileProbes::take_all_links : &FileProbes::take_pausable_links;
  std::vector<Link> links;
  for (auto& [pid, process] : processes_)
    leaktrace::tracer::take_links(process.probes, take, links);
  leaktrace::tracer::take_links(shared_probes_, take, links);
  return links;
}

void Tracer::pause() {
  if (paused_) return;
  paused_ = true;
  pausing_ = std::async(std::launch::async, [this, owned = take_links(false)]() mutable {
    await_readiness();
    engine_.close_window();
    window_to_ns_ = monotonic_ns();
    detach_together(std::move(owned));
  });
}

bool Tracer::is_pause_complete() {
  return !pausing_.valid() ||
         pausing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

Result<void> Tracer::resume() {
  if (!paused_) return {};
  if (pausing_.valid()) pausing_.get();
  check_again(shared_probes_, -1);
  for (auto& [pid, process] : processes_) check_again(process.probes, pid);
  await_readiness();
  window_from_ns_ = monotonic_ns();
  engine_.open_window(window_from_ns_);
  paused_ = false;
  Result<void> outcome = attach_again(shared_probes_, -1);
  for (auto& [pid, process] : processes_) {
    auto attached = attach_again(process.probes, pid);
    if (!attached && ::kill(pid, 0) == 0) outcome = attached;
  }
  see_probes_again();
  return outcome;
}

// Whoever changes probes holds up all forks (dup_mmap_sem in kernel/events/uprobes.c), and the
// first to do so waits for a grace period, 10 to 80 ms; those that follow soon do not. So a probe
// that nobody hits goes first: what it waits for is no part of a window, and all others come or go
// within a millisecond.
void Tracer::await_readiness() {
  const auto function = uncalled_function();
  UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!function || !file) return;
  auto links =
      engine_.attach(EngineProgram::code_mapped, ::getpid(), file.get(), {{*function}, {0}});
  if (!links) return;
  // Taking it away again waits too, and nobody waits for that.
  std::erase_if(letting_go_, [](const std::future<void>& one) {
    return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  letting_go_.push_back(
      std::async(std::launch::async, [owned = std::move(*links)]() mutable { owned.clear(); }));
}

Result<void> Tracer::attach_again(std::map<std::uint32_t, FileProbes>& probes, pid_t pid) {
  for (auto& [id, of_file] : probes) {
    if (of_file.functions() == 0) continue;
    auto attached = of_file.attach_again(engine_, *modules_.all().at(id - 1), pid);
    if (!attached) return attached;
  }
  return {};
}

void Tracer::check_again(std::map<std::uint32_t, FileProbes>& probes, pid_t pid) {
  if (probes.empty()) return;
  // Of probes in all processes, any one that is traced says which files they are on.
  const pid_t shows = pid > 0 || processes_.empty() ? pid : processes_.begin()->first;
  auto maps = read_maps(shows);
  if (!maps) return;
  for (auto& [id, of_file] : probes) {
    if (of_file.functions() > 0) check_again(shows, *maps, *modules_.all().at(id - 1), of_file);
  }
}

// What was patched while nobody looked is left out from now on.
void Tracer::check_again(pid_t pid, const std::vector<Mapping>& maps, const Module& module,
                         FileProbes& of_file) {
  const Module& mapped = module.original != nullptr ? *module.original : module;
  const auto mapping = std::ranges::find_if(maps, [&](const Mapping& one) {
    return one.executable && one.is_file() && modules_.find_or_open(pid, one) == &mapped;
  });
  if (mapping == maps.end()) return;
  CheckedHooks checked = checked_hooks(pid, maps, *mapping, mapped);
  if (checked.hooks.size() >= of_file.functions()) return;
  of_file.set_hooks(engine_, options_.rows, checked.hooks);
  if (checked.loss && listener_.on_probe_loss)
    listener_.on_probe_loss(losses_.declined(*checked.loss));
}

}  // namespace leaktrace::tracer
