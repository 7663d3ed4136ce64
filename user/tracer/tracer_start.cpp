// SPDX-License-Identifier: Apache-2.0
// What Tracer does about programs that begin: they are held until what they are about to run is
// probed.
#include <fmt/core.h>
#include <signal.h>

#include <utility>

#include "user/base/log.h"
#include "user/tracer/tracer.h"

namespace leaktrace::tracer {
namespace {

using Tables = UnwindFollower::Tables;

}  // namespace

Result<void> Tracer::attach_before_exec(pid_t pid) {
  if (auto held = holds_.take_before_exec(pid); !held) return held;
  return add_process(pid, LT_PROCESS_HOLD_TO_ENTRY);
}

bool Tracer::is_starting(pid_t pid) const {
  auto process = engine_.process(pid);
  return process && (process->flags & LT_PROCESS_STARTING) && !(process->flags & LT_PROCESS_LATE);
}

bool Tracer::was_late(pid_t pid) const {
  auto process = engine_.process(pid);
  return process && (process->flags & LT_PROCESS_LATE);
}

void Tracer::on_exec(const lt_event_process& event) {
  auto pid = static_cast<pid_t>(event.header.tgid);
  // First of all, for it waits for that.
  const bool to_hold = event.flags & (LT_PROCESS_HOLD_TO_ENTRY | LT_PROCESS_HOLD_AT_EXEC);
  const bool held = to_hold && holds_.take(pid);
  if (to_hold) engine_.answer_exec();
  // Probes belong to the process and stay: those on files that the new program maps too see its
  // first calls.
  TracedProcess& process = processes_[pid];
  process.image = event.header.image;
  process.next_rescan = {};
  if (std::exchange(process.translator, nullptr) != nullptr) process.looked_at.clear();
  process.to_see = process.looked_at;  // the new program may map other files of these names
  process.missing.clear();
  unwind_->forget(event.header.tgid);
  process.python.reset();
  forget_image(event.other);
  detach_in_background(std::exchange(process.entry_hook, {}));
  images_[process.image];
  const bool once = event.flags & LT_PROCESS_HOLD_AT_EXEC;
  const bool stands = once && held && holds_.wait_until_standing(pid);
  if (auto info = read_process_info(pid); !info.exe.empty()) process.info = std::move(info);
  listener_.on_image(event.header.image, process.info);
  auto scanned = is_starting(pid) ? hook_start(pid, process)
                                  : rescan(pid, stands ? Tables::waited_for : Tables::to_follow);
  if (!scanned && !is_gone(pid)) log::warning("after exec: {}", scanned.error().message());
  if (once) holds_.release(pid);
  const bool late = was_late(pid) || (to_hold && !held && !is_gone(pid));
  if (late && listener_.on_late) listener_.on_late(pid);
}

Result<void> Tracer::hook_start(pid_t pid, TracedProcess& process) {
  auto scanned = rescan(pid);
  if (!scanned) return scanned;
  std::string exe = read_process_info(pid).exe;
  for (const auto& module : modules_.all()) {
    if (module->path != exe || !process.looked_at.contains(module->id)) continue;
    auto links = engine_.attach(EngineProgram::entry_reached, pid, module->fd.get(),
                                {{module->image.entry_offset}, {0}});
    if (!links) return links.unexpected();
    process.entry_hook = std::move(*links);
  }
  // When it gets there is not seen: it would be held at each system call for ever.
  if (process.entry_hook.empty() || process.translator != nullptr) holds_.release(pid);
  return {};
}

Result<void> Tracer::on_stop(pid_t pid, int status) {
  if (holds_.on_stop(pid, status)) {
    auto seen = check_traceable(pid);
    if (seen) seen = rescan(pid);
    if (!seen) return seen;
  }
  // It may be one that executes another, as env does, which is to be held too.
  holds_.go_on(pid, is_starting(pid) ? Holds::Until::system_call : Holds::Until::exec);
  return {};
}

void Tracer::on_entry_reached(pid_t pid) {
  auto process = processes_.find(pid);
  if (process == processes_.end()) return;
  detach_in_background(std::exchange(process->second.entry_hook, {}));
}

}  // namespace leaktrace::tracer
