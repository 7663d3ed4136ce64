// SPDX-License-Identifier: Apache-2.0
// What LiveTrace does about processes, code mappings and signals.
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "user/app/live_trace.h"
#include "user/base/log.h"
#include "user/output/reasons.h"
#include "user/tracer/process_memory.h"
#include "user/tracer/procfs.h"

namespace leaktrace::app {

void LiveTrace::announce_image(std::uint32_t image, const tracer::ProcessInfo& info) {
  running_[info.pid] = {image};
  overhead_->add(*tracer_, info.pid, image);
  emit(model::Process{.image = {image},
                      .pid = static_cast<std::uint32_t>(info.pid),
                      .comm = info.comm,
                      .exe = info.exe,
                      .cgroup = info.cgroup,
                      .since_ns = source_ ? now_ns() : 0});
  emit_memory(info.pid, {image});
}

void LiveTrace::emit_memory(pid_t pid, model::ImageId image) {
  const auto memory = tracer::read_process_memory(pid);
  if (!memory) return;  // it is ending
  const auto limit = memory_limits_.of(pid).value_or(tracer::MemoryLimit{});
  emit(model::ProcessMemory{
      .image = image,
      .at_ns = source_ ? now_ns() : 0,
      .resident_bytes = memory->resident_bytes,
      .anonymous_bytes = memory->anonymous_bytes,
      .swapped_bytes = memory->swapped_bytes,
      .heap_bytes = memory->heap_bytes,
      .minor_faults = memory->minor_faults,
      .major_faults = memory->major_faults,
      .cpu_ns = memory->cpu_ns,
      .limit = {.bytes = limit.bytes, .used_bytes = limit.used_bytes, .cgroup = limit.cgroup}});
}

void LiveTrace::announce_module(const tracer::Module& module) {
  UniqueFd copy(module.fd ? ::fcntl(module.fd.get(), F_DUPFD_CLOEXEC, 0) : -1);
  outputs_.workers.symbolizer->add_module({.id = {module.id},
                                           .path = module.path,
                                           .build_id = module.image.build_id,
                                           .fd = std::move(copy),
                                           .root = module.root});
  emit(model::Module{.id = {module.id}, .path = module.path, .build_id = module.image.build_id});
}

model::RawFrame LiveTrace::resolve(const lt_event_header& of, std::uint64_t address) {
  // A return address may be the first byte after its function, and of the mapping: look up the
  // call before it.
  auto location = tracer_->locate(of.image, static_cast<pid_t>(of.tgid), address - 1);
  if (!location) {
    return named_frames_.generated_frame(of.image, static_cast<pid_t>(of.tgid), address);
  }
  return {.address = address, .module = {location->module->id}, .offset = location->address + 1};
}

collect::PythonHandlers LiveTrace::python_handlers() {
  return {
      .on_code = [this](const auto& event) { named_frames_.on_python_code(event); },
      .evaluates = [this](auto image,
                          auto address) { return named_frames_.evaluates_python(image, address); },
      .frame =
          [this](auto image, auto code, auto instruction) {
            return named_frames_.python_frame(image, code, instruction);
          }};
}

std::vector<collect::MappedImage> LiveTrace::mapped_images() const {
  std::vector<collect::MappedImage> images;
  for (const auto& [pid, image] : running_) {
    auto maps = tracer::read_maps(pid);
    if (!maps || maps->empty()) continue;  // it is ending
    collect::MappedImage mapped{.image = image, .ranges = {}};
    for (const tracer::Mapping& mapping : *maps) {
      mapped.ranges.push_back({mapping.start, mapping.end});
    }
    images.push_back(std::move(mapped));
  }
  return images;
}

void LiveTrace::on_process(const lt_event_process& event) {
  auto pid = static_cast<pid_t>(event.header.tgid);
  std::uint64_t at_ns = source_->trace_time(event.header.time_ns);
  switch (event.header.type) {
    case LT_EVENT_PROCESS_FORK:
      tracer_->on_fork(event);
      break;
    case LT_EVENT_PROCESS_EXEC:
      if (!(event.flags & LT_PROCESS_SHARED)) {
        emit(model::ProcessEnd{.image = {event.other},
                               .reason = model::EndReason::replaced,
                               .wait_status = 0,
                               .at_ns = at_ns});
        source_->image_ended({event.other}, false);
        named_frames_.forget(event.other);
      }
      tracer_->on_exec(event);
      check_translated(pid);
      break;
    case LT_EVENT_PROCESS_EXIT:
      if (event.flags & LT_PROCESS_LATE) tell_late(pid);
      if (event.flags & LT_PROCESS_SHARED) {
        tracer_->on_exit(pid);  // its image is its parent's, and goes on
      } else {
        process_ended(pid, {event.header.image}, event.other, at_ns);
      }
      break;
    case LT_EVENT_CODE_MAPPED:
      if (auto scanned = tracer_->rescan(pid); !scanned) {
        log::debug("{}", scanned.error().message());
      }
      break;
    case LT_EVENT_ENTRY_REACHED:
      tracer_->on_entry_reached(pid);
      check_hooked();
      tell_not_seen(pid, true);
      overhead_->begin(*tracer_);
      break;
    default:
      break;
  }
}

void LiveTrace::process_ended(pid_t pid, model::ImageId image, std::uint32_t wait_status,
                              std::uint64_t at_ns) {
  emit(model::ProcessEnd{.image = image,
                         .reason = model::EndReason::exited,
                         .wait_status = wait_status,
                         .at_ns = at_ns});
  overhead_->remove(*tracer_, pid);
  source_->image_ended(image, true);
  named_frames_.forget(image.value);
  tell_not_seen(pid, false);
  tracer_->on_exit(pid);
  running_.erase(pid);
}

// An exit whose event was lost is seen by the descriptor of the process.
void LiveTrace::reap_lost_targets() {
  std::erase_if(pid_fds_, [this](const auto& entry) {
    pollfd poll{.fd = entry.second.get(), .events = POLLIN, .revents = 0};
    if (::poll(&poll, 1, 0) <= 0) return false;
    note_sink_failure(source_->drain());
    auto running = running_.find(entry.first);
    if (running != running_.end()) process_ended(entry.first, running->second, 0, now_ns());
    return true;
  });
}

void LiveTrace::check_hooked() {
  pid_t pid = launcher_ ? launcher_->pid() : -1;
  // A client of PostgreSQL may load libpq later.
  if (pid < 0 || failure_ || !traces_others() || tracer_->acquire_functions(pid) > 0) return;
  failure_ = tracer_->why_unobserved(pid);
  failure_->advice += "; it goes on untraced";
}

// Each once, on stderr too: a report may be far away.
void LiveTrace::emit_not_seen(const model::NotSeen& not_seen) {
  if (!not_seen_.insert(not_seen.name).second) return;
  log::warning("{}", output::not_seen_sentence(not_seen));
  emit(not_seen);
}

void LiveTrace::tell_absence(const Absence& absence) {
  const double from = static_cast<double>(source_->trace_time(absence.from_ns)) / 1e9;
  const double seconds = static_cast<double>(absence.to_ns - absence.from_ns) / 1e9;
  emit_not_seen(
      {.what = model::UnseenSubject::work,
       .name = fmt::format("what happened in {:.1f} s, from {:.1f} s after the start of the trace",
                           seconds, from),
       .why =
           absence.by_switch
               ? "leaktrace did not answer (it was stopped or hung), so its probes were taken "
                 "away"
               : "leaktrace was stopped (SIGTSTP, Ctrl-Z), and its probes were taken away before",
       .advice = {}});
}

void LiveTrace::tell_not_seen(pid_t pid, bool settled) {
  for (const tracer::UnseenHeap& unseen : tracer_->unseen_heaps(pid, settled)) {
    emit_not_seen({.what = model::UnseenSubject::allocator,
                   .name = unseen.name,
                   .why = unseen.why,
                   .advice = unseen.advice});
  }
}

// Once for all of them: a build, say, executes thousands of programs.
void LiveTrace::tell_late(pid_t pid) {
  log::debug("process {} ran before it was held", pid);
  emit_not_seen({.what = model::UnseenSubject::work,
                 .name = "the beginning of programs that were executed",
                 .why = fmt::format("process {} ran before leaktrace held it to put its probes in, "
                                    "and maybe others did",
                                    pid),
                 .advice = {}});
}

// Of a process that goes on under a translator nothing is seen; where probes are in all processes,
// there are none any more, and what is given back from now on would not be seen either.
void LiveTrace::check_translated(pid_t pid) {
  const catalog::Translator* translator = tracer_->translator_of(pid);
  if (translator == nullptr) return;
  emit_not_seen(
      {.what = model::UnseenSubject::process,
       .name = fmt::format("{} ({})", tracer::read_process_info(pid).comm, pid),
       .why = fmt::format("it runs under {}, which translates its code, and a probe would "
                          "kill it",
                          translator->name),
       .advice = std::string(translator->advice)});
  if (launcher_ && pid == launcher_->pid()) {
    failure_ = tracer_->why_unobserved(pid);
    failure_->advice += "; it goes on untraced";
  } else if (config_.trace.follow) {
    log::warning(
        "tracing ends here: --follow puts probes into all processes, and they would kill "
        "this one");
    stopping_ = true;
  }
}

void LiveTrace::on_signal(const signalfd_siginfo& signal) {
  int number = static_cast<int>(signal.ssi_signo);
  if (number == SIGCHLD) {
    on_child();
    return;
  }
  bool ends = number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
  if (launcher_) {
    if (number == SIGINT && ++interrupts_ > 1) stopping_ = true;
    pass_on(signal);
  } else if (ends) {
    stopping_ = true;
  }
}

// The terminal sends its signals to the whole group: the command has those already.
void LiveTrace::pass_on(const signalfd_siginfo& signal) {
  if (signal.ssi_code == SI_KERNEL || command_status_) return;
  ::kill(launcher_->pid(), static_cast<int>(signal.ssi_signo));
}

void LiveTrace::on_child() {
  const pid_t command = launcher_ && !command_status_ ? launcher_->pid() : -1;
  int status = 0;
  while (command > 0 && !command_status_ &&
         ::waitpid(command, &status, WNOHANG | WUNTRACED | __WALL) == command) {
    if (WIFSTOPPED(status)) {
      command_stopped(status);
    } else {
      command_ended(status);
    }
  }
  tracer_->on_child(command);
}

void LiveTrace::command_ended(int status) {
  command_status_ = status;
  tracer_->on_end(launcher_->pid());
  note_sink_failure(source_->drain());
  auto running = running_.find(launcher_->pid());
  if (running == running_.end()) return;
  process_ended(launcher_->pid(), running->second, static_cast<std::uint32_t>(status), now_ns());
}

// Held at exec or later, until it is hooked. Another stop (the user's Ctrl-Z) is none of our
// business.
void LiveTrace::command_stopped(int status) {
  const pid_t pid = launcher_->pid();
  if (!tracer_->is_held(pid)) return;
  note_sink_failure(source_->drain());
  auto hooked = tracer_->on_stop(pid, status);
  if (hooked) return;
  failure_ = hooked.error();
  ::kill(pid, SIGKILL);  // it has not run an instruction of its own
}

}  // namespace leaktrace::app
