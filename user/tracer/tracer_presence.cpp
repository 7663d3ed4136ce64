// SPDX-License-Identifier: Apache-2.0
// Seeing that probes are where they are wanted, and what of a process is not seen.
#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "user/base/log.h"
#include "user/tracer/overlay_layers.h"
#include "user/tracer/tracer.h"

namespace leaktrace::tracer {

Tracer::ProbesByModule& Tracer::probes_of(TracedProcess& process) {
  return options_.follow ? shared_probes_ : process.probes;
}

// The functions of a file that are hooked in a process with these mappings, and those that must not
// be.
CheckedHooks Tracer::checked_hooks(pid_t pid, const std::vector<Mapping>& maps,
                                   const Mapping& mapping, const Module& module) {
  CheckedHooks checked = check_hooks(hooks_in(pid, maps, module), options_.rows, module,
                                     MappedCode(pid, maps, mapping));
  if (options_.follow) check_other_processes(checked, options_.rows, module, mapping, pid);
  return checked;
}

std::vector<std::uint32_t> Tracer::layers_in(const ProbesByModule& probes,
                                             const Module& module) const {
  std::vector<std::uint32_t> layers;
  for (const auto& [id, of_file] : probes) {
    if (modules_.all().at(id - 1)->original == &module) layers.push_back(id);
  }
  return layers;
}

bool Tracer::are_there(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                       const Mapping& mapping, const Module& module) {
  const ProbesByModule& probes = probes_of(process);
  std::vector<std::uint32_t> files = layers_in(probes, module);
  if (probes.contains(module.id)) files.push_back(module.id);
  for (std::uint32_t id : files) {
    const std::vector<std::uint64_t> offsets = probes.at(id).attached_offsets();
    const Presence seen = see_probes(pid, maps, mapping, module.fd.get(), offsets);
    if (!seen.is_complete()) {
      log::debug("{}: {} of {} probes are not in process {}", module.path, seen.missing,
                 offsets.size(), pid);
      return false;
    }
  }
  return true;
}

// Once a process and file, and again where a file may have been copied meanwhile.
void Tracer::see_probes_of(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                           const Mapping& mapping, const Module& module) {
  process.to_see.erase(module.id);
  const bool there = are_there(pid, process, maps, mapping, module) ||
                     (!is_paused() && probe_layers(pid, process, maps, mapping, module));
  if (!there && is_paused()) {  // the window was closed meanwhile: to be seen in the next
    process.to_see.insert(module.id);
    return;
  }
  if (there) {
    process.missing.erase(module.id);
    return;
  }
  if (!process.missing.insert(module.id).second) return;
  ProbesByModule& probes = probes_of(process);
  const auto found = probes.find(module.id);
  const std::size_t functions = found == probes.end() ? 0 : found->second.functions();
  const ProbeLoss loss = losses_.missing(module.path, pid, functions, module.on_overlay);
  if (listener_.on_probe_loss) listener_.on_probe_loss(loss);
}

// Puts probes on the files below the name instead: on all of them that have the same code, so that
// it does not matter which one a process maps, nor when its copy was made. A process maps one.
bool Tracer::probe_layers(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                          const Mapping& mapping, const Module& module) {
  ProbesByModule& probes = probes_of(process);
  const std::vector<const Module*> layers = modules_.layers_of(module, pid, mapping.path);
  if (layers.empty()) return false;
  const CheckedHooks checked = checked_hooks(pid, maps, mapping, module);
  const pid_t where = options_.follow ? -1 : pid;
  for (const Module* layer : layers) {
    if (probes.contains(layer->id)) continue;
    if (!has_same_code(layer->fd.get(), module.fd.get(), checked.hooks)) continue;
    auto attached = FileProbes::attach(engine_, options_.rows, *layer, where, checked.hooks);
    if (attached) probes[layer->id] = std::move(*attached);
  }
  const std::vector<std::uint32_t> attached = layers_in(probes, module);
  if (attached.empty()) return false;
  if (auto original = probes.find(module.id); original != probes.end()) {
    detach_in_background(original->second.take_all_links());
    probes.erase(original);
  }
  return std::ranges::any_of(attached, [&](std::uint32_t id) {
    const Presence seen =
        see_probes(pid, maps, mapping, module.fd.get(), probes.at(id).attached_offsets());
    return seen.there > 0 && seen.is_complete();
  });
}

void Tracer::see_probes_again() {
  for (auto& [pid, process] : processes_) {
    const auto is_due = [this, &traced = process](std::uint32_t id) {
      return traced.to_see.contains(id) || modules_.all().at(id - 1)->on_overlay;
    };
    if (std::ranges::none_of(process.looked_at, is_due)) continue;
    const auto maps = read_maps(pid);
    if (!maps) continue;
    for (const Mapping& mapping : *maps) {
      if (!mapping.executable || !mapping.is_file()) continue;
      const Module& module = *modules_.find_or_open(pid, mapping);
      if (process.looked_at.contains(module.id) && is_due(module.id)) {
        see_probes_of(pid, process, *maps, mapping, module);
      }
    }
  }
}

std::size_t Tracer::acquire_functions(const TracedProcess& process, const Module& module) const {
  if (process.missing.contains(module.id)) return 0;
  const ProbesByModule& probes = options_.follow ? shared_probes_ : process.probes;
  const auto found = probes.find(module.id);
  if (found != probes.end()) return found->second.acquire_functions();
  const std::vector<std::uint32_t> layers = layers_in(probes, module);
  return layers.empty() ? 0 : probes.at(layers.front()).acquire_functions();
}

std::size_t Tracer::acquire_functions(pid_t pid) const {
  auto process = processes_.find(pid);
  if (process == processes_.end()) return 0;
  std::size_t functions = 0;
  for (std::uint32_t module : process->second.looked_at) {
    functions += acquire_functions(process->second, *modules_.all().at(module - 1));
  }
  return functions;
}

Result<void> Tracer::check_observed(pid_t pid) const {
  // A library that a PostgreSQL client opens later is waited for; an allocator is there, or never.
  const bool wants_others = !std::ranges::all_of(options_.rows, &catalog::Row::is_postgres);
  const bool gone = ::kill(pid, 0) != 0 && errno == ESRCH;
  if (acquire_functions(pid) > 0 || !(wants_others || gone)) return {};
  if (gone) return fail(fmt::format("process {} ended while attaching", pid));
  return Unexpected{why_unobserved(pid)};
}

Error Tracer::why_unobserved(pid_t pid) const {
  const auto found = processes_.find(pid);
  const std::string who = fmt::format("process {} ({})", pid, read_process_info(pid).comm);
  if (found != processes_.end()) {
    const TracedProcess& process = found->second;
    if (process.translator != nullptr) {
      return {
          fmt::format("the heap of {} is not seen: it runs under {}, which translates its code, "
                      "and a probe would kill it",
                      who, process.translator->name),
          fmt::format("try {}", process.translator->advice)};
    }
    if (!process.missing.empty()) {
      const Module& module = *modules_.all().at(*process.missing.begin() - 1);
      return {fmt::format("no probe reaches {}", who),
              fmt::format("{}: {}", module.path, missing_words(module.on_overlay))};
    }
    if (!process.declined.empty()) {
      return {fmt::format("{} has no allocator that can be hooked safely", who), process.declined};
    }
    for (const UnseenHeap& unseen : unseen_heaps(pid, false)) {
      return {fmt::format("the heap of {} is not seen: {}", who, unseen.why),
              "try: " + unseen.advice};
    }
  }
  return {fmt::format("{} has no allocator that leaktrace knows", who),
          "neither it nor a library of it defines malloc or the like under a name that the file "
          "still has"};
}

const catalog::Translator* Tracer::translator_of(pid_t pid) const {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : found->second.translator;
}

// A probe in code that is translated is no exception to the program but one of its instructions.
void Tracer::keep_out_of(TracedProcess& process, const catalog::Translator& translator) {
  process.translator = &translator;
  std::vector<Link> links;
  const auto take = [&](ProbesByModule& probes, LoaderHooks& hooks) {
    for (auto& [module, of_file] : probes)
      std::ranges::move(of_file.take_all_links(), std::back_inserter(links));
    for (auto& [module, of_file] : hooks) std::ranges::move(of_file, std::back_inserter(links));
    probes.clear();
    hooks.clear();
  };
  take(process.probes, process.loader_hooks);
  if (options_.follow) {
    withdrawn_ = true;
    take(shared_probes_, shared_loader_hooks_);
  }
  std::erase_if(links, [](const Link& link) { return !link; });
  detach_together(std::move(links));
}

std::vector<UnseenHeap> Tracer::unseen_heaps(pid_t pid, bool settled) const {
  const auto found = processes_.find(pid);
  if (found == processes_.end()) return {};
  const auto is_heap = [](const catalog::Row& row) { return row.abi.kind == LT_KIND_HEAP; };
  if (std::ranges::none_of(options_.rows, is_heap)) return {};
  std::vector<UnseenHeap> unseen;
  bool heap_is_hooked = false;
  bool something_is_hooked = false;
  for (std::uint32_t id : found->second.looked_at) {
    const Module& module = *modules_.all().at(id - 1);
    if (auto family = unhooked_family(module, options_.rows)) unseen.push_back(std::move(*family));
    if (acquire_functions(found->second, module) == 0) continue;
    something_is_hooked = true;
    heap_is_hooked |= defines_heap(module, options_.rows);
  }
  if (settled && something_is_hooked && !heap_is_hooked && unseen.empty()) {
    unseen.push_back(heap_without_functions(found->second.info.exe));
  }
  return unseen;
}

}  // namespace leaktrace::tracer
