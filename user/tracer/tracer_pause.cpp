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

using ProbesByModule = std::map<std::uint32_t, FileProbes>;

void take_links(ProbesByModule& probes, std::vector<Link>& links) {
  for (auto& [module, of_file] : probes)
    std::ranges::move(of_file.take_all_links(), std::back_inserter(links));
}

void forget_window(ProbesByModule& probes) {
  for (auto& [module, of_file] : probes) of_file.window_closed();
}

}  // namespace

std::vector<Link> Tracer::take_links() {
  std::vector<Link> links;
  for (auto& [pid, process] : processes_) leaktrace::tracer::take_links(process.probes, links);
  leaktrace::tracer::take_links(shared_probes_, links);
  return links;
}

void Tracer::pause() {
  paused_ = true;
  keeper_->order(KeeperOrder::close_window);
}

Result<void> Tracer::resume(const OpenListener& opened) {
  if (!is_paused()) return {};
  forget_window(shared_probes_);
  for (auto& [pid, process] : processes_) forget_window(process.probes);
  check_again(shared_probes_, -1);
  for (auto& [pid, process] : processes_) check_again(process.probes, pid);
  const std::uint32_t closings = keeper_->state().closings;  // it may be closed again at once
  const auto from_ns = keeper_->open_window();
  if (!from_ns) return {};
  paused_ = false;
  resumed_closings_ = closings;
  if (opened) opened(*from_ns);
  Result<void> outcome = attach_again(shared_probes_, -1);
  for (auto& [pid, process] : processes_) {
    auto attached = attach_again(process.probes, pid);
    if (!attached && ::kill(pid, 0) == 0) outcome = attached;
  }
  see_probes_again();
  return outcome;
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
