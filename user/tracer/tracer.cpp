// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/tracer.h"

#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <utility>

#include "user/base/log.h"
#include "user/tracer/hazard_trial.h"
#include "user/tracer/libpq_layout.h"
#include "user/tracer/site_trial.h"

namespace leaktrace::tracer {
namespace {

std::vector<std::string> wanted_symbols(const std::vector<catalog::Row>& rows) {
  std::vector<std::string> names{kLoaderHook, kPythonEvaluation};
  if (std::ranges::any_of(rows, &catalog::Row::is_postgres)) {
    names.insert(names.end(), kLibpqAccessors.begin(), kLibpqAccessors.end());
  }
  for (const catalog::Row& row : rows) names.push_back(row.symbol);
  return names;
}

using Tables = UnwindFollower::Tables;

/// Unknown addresses of a process that keeps having them (code that comes and goes) cost a read of
/// its mappings at most this often.
constexpr std::chrono::milliseconds least_pause{10};
constexpr std::chrono::seconds most_pause{1};

// From the loader's hook to its struct r_debug, as the BPF side is told; 0: it has none.
std::uint64_t distance_to_state(const ElfImage& image, const FunctionSymbol& hook) {
  auto address = image.address_of(hook.file_offset);
  return address && image.loader_state != 0 ? image.loader_state - *address : 0;
}

}  // namespace

Tracer::Tracer(std::unique_ptr<LinkKeeper> own_keeper, Engine engine,
               std::unique_ptr<UnwindFollower> unwind, TracerOptions options,
               TracerListener listener)
    : own_keeper_(std::move(own_keeper)),
      keeper_(options.keeper),
      engine_(std::move(engine)),
      unwind_(std::move(unwind)),
      options_(std::move(options)),
      listener_(std::move(listener)),
      modules_(wanted_symbols(options_.rows), options_.elf) {}

Result<std::unique_ptr<Tracer>> Tracer::create(TracerOptions options, TracerListener listener) {
  std::unique_ptr<LinkKeeper> own_keeper;
  if (options.keeper == nullptr) {
    auto keeper = LinkKeeper::create(false);
    if (!keeper) return keeper.unexpected();
    own_keeper = std::move(*keeper);
    options.keeper = own_keeper.get();
  }
  auto engine = Engine::load(options.limits, options.rows, options.mode);
  if (!engine) return engine.unexpected();
  if (auto given = engine->give_links_to(*options.keeper); !given) return given.unexpected();
  auto unwind = UnwindFollower::create(engine->unwind_maps(),
                                       {.most_row_bytes = options.limits.unwind_bytes,
                                        .cache_folder = options.unwind_cache,
                                        .sources = options.tables},
                                       listener.on_unwind_loss);
  if (!unwind) return unwind.unexpected();
  return std::unique_ptr<Tracer>(new Tracer(std::move(own_keeper), std::move(*engine),
                                            std::move(*unwind), std::move(options),
                                            std::move(listener)));
}

Result<void> Tracer::add_process(pid_t pid, std::uint32_t flags) {
  if (options_.follow) flags |= LT_PROCESS_FOLLOW;
  std::uint32_t image = ++last_image_;
  auto added =
      engine_.set_process(pid, {.image = image, .flags = flags, .unloads = 0, .reserved = 0});
  if (!added) return added;
  TracedProcess& process = processes_[pid];
  process.image = image;
  process.info = read_process_info(pid);
  images_[image];
  listener_.on_image(image, process.info);
  return {};
}

Result<void> Tracer::attach(pid_t pid) {
  auto traceable = check_traceable(pid);
  if (!traceable) return traceable;
  if (processes_.contains(pid)) return {};
  auto result = add_process(pid, 0);
  if (result) result = rescan(pid, Tables::waited_for);
  if (result) result = check_observed(pid);
  if (!result) {
    engine_.remove_process(pid);
    on_exit(pid);
  }
  return result;
}

// A program that is starting stands still: nothing is gained by haste.
Result<void> Tracer::rescan(pid_t pid) {
  return rescan(pid, is_starting(pid) ? Tables::waited_for : Tables::to_follow);
}

Result<void> Tracer::rescan(pid_t pid, Tables tables) {
  auto found = processes_.find(pid);
  if (found == processes_.end()) return {};
  auto maps = read_maps(pid);
  if (!maps) {
    return is_gone(pid) ? fail(fmt::format("process {} ended while attaching", pid))
                        : Result<void>(maps.unexpected());
  }
  found->second.stale = false;
  for (const Mapping& mapping : *maps) {
    if (const auto* translator = catalog::translator_of(mapping.path)) {
      keep_out_of(found->second, *translator);
      return {};
    }
  }
  if (learn_code(pid, found->second, *maps, tables)) found->second.rescan_pause = {};
  learn_go(pid, found->second, *maps);
  for (const Mapping& mapping : *maps) {
    if (!mapping.executable || !mapping.is_file()) continue;
    auto looked = look_at(pid, found->second, mapping, *maps);
    if (!looked) return looked;
  }
  return {};
}

// Names and unwind information before probes: the first stack is whole. True when there is new
// code.
bool Tracer::learn_code(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps,
                        Tables tables) {
  AddressSpace& space = images_[process.image];
  std::vector<CodeMapping> code;
  for (const Mapping& mapping : maps) {
    if (!mapping.executable || mapping.path == "[vsyscall]") continue;
    const Module* module = mapping.is_file() ? modules_.find_or_open(pid, mapping) : nullptr;
    if (module) {
      announce(*module);
      space.add(mapping, module);
      if (module->python && !process.python) learn_python(process, mapping, *module);
    }
    code.push_back({mapping.start, mapping.end, mapping.offset, module, mapping.path == "[vdso]"});
  }
  return unwind_->set_code(static_cast<std::uint32_t>(pid), std::move(code), tables);
}

void Tracer::learn_python(TracedProcess& process, const Mapping& mapping, const Module& module) {
  const FunctionSymbol* function = find_function(module.image, kPythonEvaluation);
  if (!function || function->file_offset < mapping.offset) return;
  std::uint64_t address = mapping.start + (function->file_offset - mapping.offset);
  if (address >= mapping.end) return;
  process.python = {&*module.python, module.python->at(address - module.python->layout.eval_start)};
  announce_python(process);
}

void Tracer::announce_python(const TracedProcess& process) {
  if (!process.python) return;
  if (listener_.on_python) listener_.on_python(process.image, *process.python);
  auto set = engine_.set_python(process.image, process.python->layout);
  if (!set) log::warning("process {}: {}", process.info.pid, set.error().message());
}

// A vfork child has its parent's image: that goes on.
void Tracer::forget_image(std::uint32_t image) {
  for (const auto& [pid, process] : processes_) {
    if (process.image == image) return;
  }
  engine_.remove_python(image);
  images_.erase(image);
}

std::size_t Tracer::count_trampolines(const std::vector<Hook>& hooks) const {
  return static_cast<std::size_t>(std::ranges::count_if(hooks, [&](const Hook& hook) {
    return !hook.has_own_returns() && options_.rows[hook.row].needs_return();
  }));
}

// To any program, on this kernel. Asked only for what is hooked.
bool Tracer::trampolines_are_harmless() const {
  if (!options_.trampolines) return false;
  return !std::ranges::any_of(options_.rows, &catalog::Row::may_have_trampoline) ||
         objection_to_trampolines().empty();
}

Trampolines Tracer::trampolines_in(pid_t pid) const {
  if (!trampolines_are_harmless()) return Trampolines::never;
  auto process = processes_.find(pid);
  const bool go = process != processes_.end() && process->second.go;
  return go ? Trampolines::never : Trampolines::where_safe;
}

// A file that could not be read may be one of Go's. Where probes are shared with other processes,
// the BPF side keeps trampolines out of this one.
void Tracer::learn_go(pid_t pid, TracedProcess& process, const std::vector<Mapping>& maps) {
  process.go = std::ranges::any_of(maps, [&](const Mapping& mapping) {
    if (!mapping.executable || !mapping.is_file()) return false;
    const Module& module = *modules_.find_or_open(pid, mapping);
    return module.image.marks.go || !module.unread.empty();
  });
  if (!process.go || !options_.follow) return;
  auto known = engine_.process(pid);
  if (!known || known->flags & LT_PROCESS_NO_TRAMPOLINES) return;
  known->flags |= LT_PROCESS_NO_TRAMPOLINES;
  if (auto set = engine_.set_process(pid, *known); !set) log::debug("{}", set.error().message());
}

const std::vector<Hook>& Tracer::hooks_of(const Module& module, Trampolines trampolines) {
  auto [found, is_new] = hooks_.try_emplace({module.id, trampolines});
  if (!is_new) return found->second;
  found->second =
      find_hooks(options_.rows, module, *options_.elf, site_trial().emulated, trampolines);
  if (std::ranges::any_of(found->second, &Hook::has_own_returns)) {
    const std::string& why = objection_to_own_returns();
    if (!why.empty()) decline_own_returns(found->second, why);
  }
  learn_libpq(module, found->second);
  return found->second;
}

// Those of a file that are of use in a process with these mappings.
std::vector<Hook> Tracer::hooks_in(pid_t pid, const std::vector<Mapping>& maps,
                                   const Module& module) {
  std::vector<const Module*> files;
  for (const Mapping& mapping : maps) {
    if (mapping.executable && mapping.is_file()) {
      files.push_back(modules_.find_or_open(pid, mapping));
    }
  }
  return imported_hooks(hooks_of(module, trampolines_in(pid)), options_.rows, files);
}

// `maps` are all mappings of the process, and `mapping` the one to look at.
Result<void> Tracer::look_at(pid_t pid, TracedProcess& process, const Mapping& mapping,
                             const std::vector<Mapping>& maps) {
  if (withdrawn_) return {};
  const Module& module = *modules_.find_or_open(pid, mapping);
  ProbesByModule& owner = probes_of(process);
  if (!process.looked_at.insert(module.id).second) {
    if (!is_paused() && process.to_see.contains(module.id))
      see_probes_of(pid, process, maps, mapping, module);
    return {};
  }
  process.to_see.insert(module.id);
  if (!owner.contains(module.id) && layers_in(owner, module).empty()) {
    CheckedHooks checked = checked_hooks(pid, maps, mapping, module);
    if (options_.follow) shared_trampolines_[module.id] = count_trampolines(checked.hooks);
    if (checked.loss) {
      process.declined = fmt::format("{}: {}", checked.loss->path, checked.loss->why);
      if (listener_.on_probe_loss) listener_.on_probe_loss(losses_.declined(*checked.loss));
    }
    if (is_paused()) {
      owner[module.id].set_hooks(engine_, options_.rows, checked.hooks);  // for resume()
      hook_loader(pid, process, module);
      return {};
    }
    auto probes = FileProbes::attach(engine_, options_.rows, module, options_.follow ? -1 : pid,
                                     checked.hooks);
    if (!probes) {
      return is_gone(pid) ? fail(fmt::format("process {} ended while attaching", pid))
                          : Result<void>(probes.unexpected());
    }
    owner[module.id] = std::move(*probes);
  }
  see_probes_of(pid, process, maps, mapping, module);
  report_unseen_returns(pid, process, module);
  hook_loader(pid, process, module);
  return {};
}

// Of a Go program that shares session probes with others: see bpf/engine.bpf.c, may_be_entered.
void Tracer::report_unseen_returns(pid_t pid, const TracedProcess& process, const Module& module) {
  if (!process.go || options_.mode != ProbeMode::session || !listener_.on_probe_loss) return;
  auto unseen = shared_trampolines_.find(module.id);
  if (unseen == shared_trampolines_.end() || unseen->second == 0) return;
  listener_.on_probe_loss(
      {.path = module.path,
       .count = unseen->second,
       .why = fmt::format("process {} is a Go program, whose stacks move: how these functions "
                          "return is not seen in it; trace it without --follow",
                          pid)});
}

// Without one, new libraries are seen by the first unknown address in a stack.
void Tracer::hook_loader(pid_t pid, TracedProcess& process, const Module& module) {
  const FunctionSymbol* hook = find_function(module.image, kLoaderHook);
  auto& hooks = options_.follow ? shared_loader_hooks_ : process.loader_hooks;
  if (hook == nullptr || hooks.contains(module.id)) return;
  if (options_.follow && is_any_process_translated()) return;
  auto links =
      engine_.attach(EngineProgram::code_mapped, options_.follow ? -1 : pid, module.fd.get(),
                     {{hook->file_offset}, {distance_to_state(module.image, *hook)}});
  if (links) hooks[module.id] = std::move(*links);
}

void Tracer::announce(const Module& module) {
  if (!announced_.insert(module.id).second) return;
  listener_.on_module(module);
  if (module.unread.empty() || !listener_.on_probe_loss) return;
  listener_.on_probe_loss(
      {.path = module.path, .count = 0, .why = "its functions are not hooked: " + module.unread});
}

void Tracer::on_fork(const lt_event_process& event) {
  auto parent = processes_.find(static_cast<pid_t>(event.other));
  auto pid = static_cast<pid_t>(event.header.tgid);
  TracedProcess& child = processes_[pid];
  child.image = event.header.image;
  child.info.pid = pid;
  if (parent != processes_.end()) {
    child.looked_at = parent->second.looked_at;
    child.missing = parent->second.missing;  // its memory is a copy
    child.translator = parent->second.translator;
    unwind_->copy_code(event.other, event.header.tgid);
  }
  if (event.flags & LT_PROCESS_SHARED) return;
  if (parent != processes_.end()) {
    images_[child.image] = images_[parent->second.image];
    child.info = parent->second.info;  // what it is a copy of, should it have ended already
    child.info.pid = pid;
    child.python = parent->second.python;
  }
  if (auto info = read_process_info(pid); !info.exe.empty()) child.info = std::move(info);
  listener_.on_image(child.image, child.info);
  announce_python(child);
}

// Detaching waits for a grace period of the kernel, a tenth of a second in which the started
// program's news would wait too.
void Tracer::detach_in_background(std::vector<Link> links) {
  detach_together(std::move(links), false);
}

void Tracer::on_exit(pid_t pid) {
  unwind_->forget(static_cast<std::uint32_t>(pid));
  auto process = processes_.find(pid);
  if (process == processes_.end()) return;
  std::uint32_t image = process->second.image;
  processes_.erase(process);
  forget_image(image);
}

std::optional<Location> Tracer::locate(std::uint32_t image, pid_t pid, std::uint64_t address) {
  auto space = images_.find(image);
  if (space == images_.end()) return std::nullopt;
  auto process = processes_.find(pid);
  if (process != processes_.end() && process->second.image == image &&
      !unwind_->knows(static_cast<std::uint32_t>(pid), address)) {
    rescan_for_unknown_code(pid, process->second);
  }
  return space->second.locate(address);
}

bool Tracer::is_allocator_code(std::uint32_t module, std::uint64_t address) const {
  if (module == 0 || module > modules_.all().size()) return false;
  const ElfImage& image = modules_.all()[module - 1]->image;
  return std::ranges::any_of(image.functions, [&](const FunctionSymbol& function) {
    auto start = image.address_of(function.file_offset);
    return start && address >= *start && address - *start < function.size &&
           std::ranges::any_of(options_.rows, [&](const catalog::Row& row) {
             return row.abi.kind == LT_KIND_HEAP && row.symbol == function.name;
           });
  });
}

// Code that was mapped without the loader's doing (a JIT's), or an address that is none. Each time
// that brings nothing new makes the next one later.
void Tracer::rescan_for_unknown_code(pid_t pid, TracedProcess& process) {
  const auto now = Clock::now();
  process.stale = now < process.next_rescan;
  if (process.stale) return;
  if (auto scanned = rescan(pid, Tables::to_follow); !scanned) return;
  process.rescan_pause =
      std::clamp<Clock::duration>(process.rescan_pause * 2, least_pause, most_pause);
  process.next_rescan = now + process.rescan_pause;
}

void Tracer::tend() {
  for (auto& [pid, process] : processes_) {
    if (!process.stale) continue;
    if (auto scanned = rescan(pid); !scanned) log::debug("{}", scanned.error().message());
  }
  unwind_->tend();
  holds_.release_settled();
}

void Tracer::detach_all() {
  keeper_->end_windows();
  std::vector<Link> links = take_links();
  for (auto& [pid, process] : processes_) {
    for (auto& [module, hooks] : process.loader_hooks)
      std::ranges::move(hooks, std::back_inserter(links));
    std::ranges::move(process.entry_hook, std::back_inserter(links));
    process.probes.clear();
    process.loader_hooks.clear();
    process.entry_hook.clear();
  }
  for (auto& [module, hooks] : shared_loader_hooks_)
    std::ranges::move(hooks, std::back_inserter(links));
  shared_probes_.clear();
  shared_loader_hooks_.clear();
  std::erase_if(links, [](const Link& link) { return !link; });
  detach_together(std::move(links));
  engine_.stop_following();
  holds_.release_all();
}

}  // namespace leaktrace::tracer
