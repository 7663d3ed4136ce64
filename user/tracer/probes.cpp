// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/probes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <span>
#include <utility>

#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

/// Where the probes of a step go.
enum class Place {
  entry,
  session,          ///< the entries of functions that a trampoline sees return
  outside_session,  ///< all other entries
  trampoline,
  own_returns,
};

/// A program, and the rows whose functions it goes on.
struct Step {
  EngineProgram program;
  Place place;
  bool (*takes)(const catalog::Row&);
};

bool releases(const catalog::Row& row) {
  return row.abi.operation == LT_OP_RELEASE;
}
bool releases_for_certain(const catalog::Row& row) {
  return releases(row) && !row.needs_return();
}
bool may_fail_to_release(const catalog::Row& row) {
  return releases(row) && row.needs_return();
}
bool replaces(const catalog::Row& row) {
  return row.abi.operation == LT_OP_REPLACE;
}
bool acquires(const catalog::Row& row) {
  return row.abi.operation == LT_OP_ACQUIRE || row.abi.operation == LT_OP_NOTE;
}
bool waits_for_return(const catalog::Row& row) {
  return row.needs_return();
}
bool does_not_release(const catalog::Row& row) {
  return !releases(row);
}

// Probes on returns before those on entries: an entry without a return would wait for ever.
constexpr std::array kApart = {
    Step{EngineProgram::call_returned, Place::own_returns, waits_for_return},
    Step{EngineProgram::call_returned, Place::trampoline, waits_for_return},
    Step{EngineProgram::release_enter, Place::entry, releases},
    Step{EngineProgram::call_entered, Place::entry, replaces},
    Step{EngineProgram::call_entered, Place::entry, acquires}};
// A session with a filter by process was seen to ask for the return in other processes too, where
// something else had a breakpoint on the same instruction (Linux 6.18). So it is used only on
// functions that a trampoline does not harm.
constexpr std::array kInSessions = {
    Step{EngineProgram::call_returned, Place::own_returns, waits_for_return},
    Step{EngineProgram::release_enter, Place::entry, releases_for_certain},
    Step{EngineProgram::call_session, Place::session, may_fail_to_release},
    Step{EngineProgram::call_entered, Place::outside_session, may_fail_to_release},
    Step{EngineProgram::call_session, Place::session, does_not_release},
    Step{EngineProgram::call_entered, Place::outside_session, does_not_release}};

bool is_at(Place place, const Hook& hook, const catalog::Row& row) {
  const bool by_trampoline = row.needs_return() && !hook.has_own_returns();
  if (place == Place::trampoline || place == Place::session) return by_trampoline;
  return place != Place::outside_session || !by_trampoline;
}

std::span<const Step> steps_of(ProbeMode mode) {
  if (mode == ProbeMode::session) return kInSessions;
  return kApart;
}

// Functions that end in the same tail share its return instructions. A probe there ends the call of
// its kind that the thread is in, whichever function that is: one is enough for each kind.
void add_own_returns(ProbeTargets& targets, const Hook& hook, const catalog::Row& row,
                     std::set<std::pair<std::uint64_t, unsigned>>& taken) {
  for (const ProbeSite& site : hook.returns) {
    if (!taken.emplace(site.offset, row.abi.kind).second) continue;
    targets.offsets.push_back(site.offset);
    targets.cookies.push_back(hook.return_cookie(site));
  }
}

ProbeTargets targets_of(const Step& step, const std::vector<Hook>& hooks,
                        const std::vector<catalog::Row>& rows, bool lasting) {
  ProbeTargets targets;
  targets.by_trampoline = step.place == Place::trampoline;
  std::set<std::pair<std::uint64_t, unsigned>> taken;
  for (const Hook& hook : hooks) {
    const catalog::Row& row = rows[hook.row];
    if (row.is_lasting() != lasting || !step.takes(row)) continue;
    if (!is_at(step.place, hook, row)) continue;
    if (step.place == Place::own_returns) {
      add_own_returns(targets, hook, row, taken);
      continue;
    }
    targets.offsets.push_back(hook.site.offset);
    targets.cookies.push_back(hook.cookie());
  }
  return targets;
}

}  // namespace

Result<FileProbes> FileProbes::attach(Engine& engine, const std::vector<catalog::Row>& rows,
                                      const Module& module, pid_t pid,
                                      const std::vector<Hook>& hooks) {
  FileProbes probes;
  if (!module.fd) return probes;
  probes.set_hooks(engine, rows, hooks);
  if (auto attached = probes.attach_again(engine, module, pid); !attached) {
    return attached.unexpected();
  }
  for (const Hook& hook : hooks) {
    log::debug("{}: probing {} at {:#x}, {} bytes after its entry, {}", module.path,
               rows[hook.row].symbol, hook.site.offset, hook.site.offset - hook.site.entry,
               hook.site.emulated ? "emulated" : "single-stepped");
    if (hook.has_own_returns()) {
      log::debug("{}: its return by {} of its instructions", rows[hook.row].symbol,
                 hook.returns.size());
    }
  }
  return probes;
}

void FileProbes::set_hooks(const Engine& engine, const std::vector<catalog::Row>& rows,
                           const std::vector<Hook>& hooks) {
  pausable_.attached.clear();
  lasting_.attached.clear();
  for (const Step& step : steps_of(engine.mode())) {
    pausable_.attached.push_back({step.program, targets_of(step, hooks, rows, false)});
    lasting_.attached.push_back({step.program, targets_of(step, hooks, rows, true)});
  }
  functions_ = hooks.size();
  acquire_functions_ = static_cast<std::size_t>(
      std::ranges::count_if(hooks, [&](const Hook& hook) { return acquires(rows[hook.row]); }));
}

Result<void> FileProbes::Group::attach(Engine& engine, const Module& module, pid_t pid,
                                       bool costly) {
  if (!links.empty()) return {};
  for (const Attached& what : attached) {
    auto made = engine.attach(what.program, pid, module.fd.get(), what.targets, costly);
    if (!made) return fail(module.path + ": " + made.error().what, made.error().advice);
    std::move(made->begin(), made->end(), std::back_inserter(links));
  }
  return {};
}

Result<void> FileProbes::attach_again(Engine& engine, const Module& module, pid_t pid) {
  if (auto attached = lasting_.attach(engine, module, pid, false); !attached) return attached;
  return pausable_.attach(engine, module, pid, true);
}

std::vector<std::uint64_t> FileProbes::attached_offsets() const {
  std::set<std::uint64_t> offsets;
  for (const Group* group : {&pausable_, &lasting_}) {
    if (group->links.empty()) continue;
    for (const Attached& what : group->attached) {
      offsets.insert(what.targets.offsets.begin(), what.targets.offsets.end());
    }
  }
  return {offsets.begin(), offsets.end()};
}

std::vector<Link> FileProbes::Group::take_links() {
  std::vector<Link> taken = std::exchange(links, {});
  std::ranges::reverse(taken);
  return taken;
}

std::vector<Link> FileProbes::take_all_links() {
  std::vector<Link> links = pausable_.take_links();
  std::ranges::move(lasting_.take_links(), std::back_inserter(links));
  return links;
}

void FileProbes::window_closed() {
  for (Link& link : pausable_.links) link.forget();
  pausable_.links.clear();
}

FileProbes& FileProbes::operator=(FileProbes&& other) noexcept {
  detach();
  pausable_ = std::exchange(other.pausable_, {});
  lasting_ = std::exchange(other.lasting_, {});
  functions_ = std::exchange(other.functions_, 0);
  acquire_functions_ = std::exchange(other.acquire_functions_, 0);
  return *this;
}

void FileProbes::detach() {
  for (Group* group : {&pausable_, &lasting_}) {
    detach_together(group->take_links());
    group->attached.clear();
  }
  functions_ = 0;
  acquire_functions_ = 0;
}

}  // namespace leaktrace::tracer
