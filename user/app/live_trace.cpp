// SPDX-License-Identifier: Apache-2.0
#include "user/app/live_trace.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <iterator>
#include <utility>

#include "user/app/privileges.h"
#include "user/app/version.h"
#include "user/base/clock.h"
#include "user/base/file.h"
#include "user/base/log.h"
#include "user/catalog/row.h"
#include "user/tracer/features.h"
#include "user/unwind/table_cache.h"

namespace leaktrace::app {
namespace {

std::vector<catalog::Row> wanted_rows(const std::vector<model::Kind>& kinds, bool sees_free) {
  std::vector<lt_kind> wanted;
  for (model::Kind kind : kinds) wanted.push_back(static_cast<lt_kind>(kind));
  if (wanted.empty()) wanted = {LT_KIND_HEAP, LT_KIND_MMAP, LT_KIND_PG_CONNECTION};
  const auto has = [&](auto is) { return std::ranges::any_of(wanted, is); };
  std::vector<catalog::Row> rows = catalog::select(catalog::memory_rows(), wanted);
  if (!has([](lt_kind kind) { return LT_KIND_IS_PG(kind); })) return rows;
  std::ranges::copy(catalog::postgres_rows(), std::back_inserter(rows));
  const bool frees = has([](lt_kind kind) { return kind == LT_KIND_HEAP; });
  if (sees_free && !frees) rows.push_back(catalog::free_of_buffers_row());
  return rows;
}

tracer::ProbeMode choose_probe_mode(const std::string& asked) {
  if (asked == "session") return tracer::ProbeMode::session;
  if (asked == "multi") return tracer::ProbeMode::multi;
  if (asked == "single") return tracer::ProbeMode::single;
  if (tracer::sessions_work()) return tracer::ProbeMode::session;
  return tracer::multi_probes_work() ? tracer::ProbeMode::multi : tracer::ProbeMode::single;
}

// In a child of its own session: a process that is killed in the middle of such a trial leaves a
// probe behind in the kernel. The child goes on to its end.
tracer::ProbeMode try_probe_mode(const std::string& asked) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    ::_exit(static_cast<int>(choose_probe_mode(asked)));
  }
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && WIFEXITED(status) ? static_cast<tracer::ProbeMode>(WEXITSTATUS(status))
                                        : choose_probe_mode(asked);
}

// A probe of its own is a descriptor or two; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<UniqueFd> make_timer(double seconds, bool repeat) {
  UniqueFd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return fail(describe_errno("cannot make a timer", errno));
  itimerspec when{};
  double whole = std::floor(seconds);
  when.it_value = {static_cast<time_t>(whole), static_cast<long>((seconds - whole) * 1e9)};
  if (repeat) when.it_interval = when.it_value;
  if (::timerfd_settime(fd.get(), 0, &when, nullptr) != 0) {
    return fail(describe_errno("cannot set a timer", errno));
  }
  return fd;
}

bool take_expiry(const UniqueFd& timer) {
  std::uint64_t times = 0;
  return timer && ::read(timer.get(), &times, sizeof(times)) == sizeof(times);
}

// <sys/pidfd.h> of glibc 2.36 cannot be used from C++: it declares no C linkage.
UniqueFd open_pid(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : std::string();
}

}  // namespace

LiveTrace::LiveTrace(LiveTraceConfig config, LiveTraceOutputs outputs, SignalReader signals)
    : config_(std::move(config)), outputs_(std::move(outputs)), signals_(std::move(signals)) {}

Result<std::unique_ptr<LiveTrace>> LiveTrace::create(LiveTraceConfig config,
                                                     LiveTraceOutputs outputs) {
  auto allowed = check_privileges();
  if (!allowed) return allowed.unexpected();
  auto signals = SignalReader::create();
  if (!signals) return signals.unexpected();
  std::unique_ptr<LiveTrace> trace(
      new LiveTrace(std::move(config), std::move(outputs), std::move(*signals)));
  auto opened = trace->fork_command();
  if (opened) opened = trace->give_up_privileges();
  if (opened) opened = trace->fork_keeper();
  if (opened) opened = trace->open();
  if (!opened) return opened.unexpected();
  return trace;
}

// First of all, for the command is to have what leaktrace was given, and nothing that it opens.
Result<void> LiveTrace::fork_command() {
  if (config_.target.command.empty()) return {};
  auto launcher = tracer::Launcher::launch(config_.target.command);
  if (!launcher) return launcher.unexpected();
  launcher_ = std::move(*launcher);
  return {};
}

Result<void> LiveTrace::give_up_privileges() {
  probe_mode_ = try_probe_mode(config_.trace.probe_mode);
  return app::give_up_privileges({.traces = true,
                                  .single_probes = probe_mode_ == tracer::ProbeMode::single,
                                  .priority = config_.trace.budget_percent.has_value(),
                                  .signals = launcher_.has_value() || config_.trace.follow,
                                  .output = config_.output});
}

// It has no more privileges than this process, and nothing that was opened here.
Result<void> LiveTrace::fork_keeper() {
  auto keeper = tracer::LinkKeeper::create(config_.trace.budget_percent.has_value());
  if (!keeper) return keeper.unexpected();
  keeper_ = std::move(*keeper);
  return {};
}

Result<void> LiveTrace::open() {
  raise_descriptor_limit();
  tracer::TracerOptions options;
  options.limits.live = config_.trace.max_live;
  options.limits.stacks = config_.trace.max_stacks;
  options.limits.sites = config_.trace.max_sites;
  options.limits.threads = config_.trace.max_threads;
  options.limits.unwind_bytes = config_.trace.max_unwind_memory;
  options.limits.stack_depth = config_.trace.stack_depth;
  options.limits.sampling_base = config_.trace.sample_bytes.value_or(0);
  options.limits.min_size = config_.min_size;
  options.limits.max_size = config_.max_size;
  options.limits.pg_connections = config_.trace.max_connections;
  options.limits.pg_text_bytes = config_.trace.sql_bytes;
  options.rows = wanted_rows(config_.kinds, config_.trace.sees_free);
  options.mode = probe_mode_;
  options.keeper = keeper_.get();
  options.follow = config_.trace.follow;
  options.elf = outputs_.workers.elf;
  options.tables = outputs_.workers.tables;
  options.trampolines = !config_.trace.no_trampolines;
  options.unwind_cache = config_.trace.unwind_cache.value_or(unwind::default_cache_folder());
  auto overhead = OverheadControl::create({.budget_percent = config_.trace.budget_percent,
                                           .sampling_base = options.limits.sampling_base,
                                           .mode = options.mode},
                                          *keeper_);
  if (!overhead) return overhead.unexpected();
  overhead_ = std::move(*overhead);
  auto tracer = tracer::Tracer::create(
      std::move(options),
      {.on_image = [this](std::uint32_t image, const auto& info) { announce_image(image, info); },
       .on_module = [this](const tracer::Module& module) { announce_module(module); },
       .on_unwind_loss =
           [this](const tracer::UnwindLoss& loss) {
             emit(model::FileLoss{.path = loss.path,
                                  .subject = model::FileSubject::unwind,
                                  .count = loss.count,
                                  .why = loss.why});
           },
       .on_probe_loss =
           [this](const tracer::ProbeLoss& loss) {
             emit(model::FileLoss{.path = loss.path,
                                  .subject = model::FileSubject::probes,
                                  .count = loss.count,
                                  .why = loss.why});
           },
       .on_python =
           [this](std::uint32_t image, const tracer::PythonProcess& python) {
             named_frames_.on_python(image, python);
           },
       .on_late = [this](pid_t pid) { tell_late(pid); }});
  if (!tracer) return tracer.unexpected();
  tracer_ = std::move(*tracer);

  began_ns_ = clock_ns(CLOCK_MONOTONIC);
  tracer::EngineMaps maps = tracer_->engine().maps();
  if (traces_postgres()) {
    postgres_ = std::make_unique<PostgresTrace>(
        PostgresTraceOptions{.sessions = {.raw_sql = config_.trace.raw_sql,
                                          .max_connections = config_.trace.max_connections,
                                          .max_resources = config_.trace.max_live,
                                          .max_sites = config_.trace.max_sites,
                                          .sql = outputs_.workers.sql},
                             .pg_sessions = maps.pg_sessions},
        [this](std::uint64_t monotonic_ns) { return source_->trace_time(monotonic_ns); });
  }
  auto source = collect::LiveSource::create(
      {.events = maps.events,
       .call_sites = maps.call_sites,
       .call_stacks = maps.call_stacks,
       .retiring_stacks = maps.retiring_stacks,
       .stacks_retire = maps.stacks_retire,
       .live_resources = maps.live_resources,
       .site_lifetimes = maps.site_lifetimes,
       .losses = maps.losses,
       .probe_hits = maps.probe_hits,
       .pg_sessions = maps.pg_sessions,
       .state_epoch = maps.state_epoch},
      {.began_ns = began_ns_,
       .sampling_base = config_.trace.sample_bytes.value_or(0),
       .ranges = {.page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
                  .max_parts = config_.trace.max_live,
                  .max_sites = config_.trace.max_sites}},
      {.resolve = [this](const auto& of, auto address) { return resolve(of, address); },
       .on_process = [this](const lt_event_process& event) { on_process(event); },
       .mapped = [this] { return mapped_images(); },
       .in_allocator =
           [this](const model::RawFrame& frame) {
             return tracer_->is_allocator_code(frame.module.value, frame.offset - 1);
           },
       .python = python_handlers(),
       .sessions = postgres_.get()},
      outputs_.sink);
  if (!source) return source.unexpected();
  source_ = std::move(*source);
  overhead_->on_window_end([this](std::uint64_t from_ns, std::uint64_t to_ns) {
    note_sink_failure(source_->end_window(from_ns, to_ns));
  });
  overhead_->on_absence([this](const Absence& absence) { tell_absence(absence); });
  std::vector<model::Kind> kinds = config_.kinds;
  if (kinds.empty()) kinds.assign(model::kKinds.begin(), model::kKinds.end());
  emit(model::TraceStart{.unix_ns = static_cast<std::int64_t>(clock_ns(CLOCK_REALTIME)),
                         .tool_version = kVersion,
                         .host = host_name(),
                         .sampling_bytes = config_.trace.sample_bytes.value_or(0),
                         .budget_percent = config_.trace.budget_percent.value_or(0),
                         .min_size = config_.min_size,
                         .max_size = config_.max_size,
                         .kinds = std::move(kinds)});
  return {};
}

Result<void> LiveTrace::watch(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(describe_errno("cannot wait for events", errno));
  }
  return {};
}

Result<void> LiveTrace::start() {
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  for (int fd : {source_->poll_fd(), tracer_->tables_fd(), signals_.fd(), overhead_->event_fd()}) {
    if (auto watched = watch(fd); !watched) return watched;
  }
  if (!config_.target.command.empty()) {
    auto armed = arm_timers();
    return armed ? start_command() : armed;
  }
  if (auto attached = attach_running(); !attached) return attached;
  return arm_timers();
}

Result<void> LiveTrace::attach_running() {
  // With a budget, probes come all at once when everything is known, and it is watched what they
  // cost.
  if (config_.trace.budget_percent) tracer_->pause();
  for (pid_t pid : config_.target.pids) {
    UniqueFd fd = open_pid(pid);
    auto attached = tracer_->attach(pid);
    if (!attached) return attached;
    if (!fd) return fail(fmt::format("process {} ended while attaching", pid));
    if (auto watched = watch(fd.get()); !watched) return watched;
    pid_fds_[pid] = std::move(fd);
  }
  {
    // Not before: loading and compiling would hold up programs that are not traced at all.
    const Precedence precedence(config_.trace.budget_percent.has_value());
    if (auto resumed = tracer_->resume(); !resumed) return resumed;
  }
  for (pid_t pid : config_.target.pids) {
    if (auto observed = tracer_->check_observed(pid); !observed) return observed;
    tell_not_seen(pid, true);
  }
  overhead_->begin(*tracer_);
  tell_of_libpq();
  for (pid_t pid : config_.target.pids) {
    log::debug("attached to {}: {} functions that acquire", pid, tracer_->acquire_functions(pid));
  }
  return {};
}

Result<void> LiveTrace::arm_timers() {
  auto interval = make_timer(config_.trace.interval_seconds, true);
  if (!interval) return interval.unexpected();
  interval_timer_ = std::move(*interval);
  if (auto watched = watch(interval_timer_.get()); !watched) return watched;
  if (!config_.trace.duration_seconds) return {};
  auto duration = make_timer(*config_.trace.duration_seconds, false);
  if (!duration) return duration.unexpected();
  duration_timer_ = std::move(*duration);
  return watch(duration_timer_.get());
}

Result<void> LiveTrace::start_command() {
  auto attached = tracer_->attach_before_exec(launcher_->pid());
  if (!attached) return attached;
  return launcher_->release([this] { on_child(); });
}

Result<void> LiveTrace::run() {
  while (!stopping_ && !failure_ && !running_.empty()) {
    if (auto waited = wait_once(); !waited) return waited;
  }
  finish();
  if (failure_) return fail(failure_->what, failure_->advice);
  return {};
}

Result<void> LiveTrace::wait_once() {
  std::array<epoll_event, 16> events{};
  int ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
  if (ready < 0 && errno != EINTR) return fail(describe_errno("cannot wait for events", errno));
  tracer_->on_tables_loaded();
  note_sink_failure(source_->drain());
  while (auto signal = signals_.next()) on_signal(*signal);
  reap_lost_targets();
  if (auto done = overhead_->on_event(*tracer_); !done) failure_ = done.error();
  if (take_expiry(duration_timer_)) stopping_ = true;
  if (take_expiry(interval_timer_) && !stopping_ && !running_.empty()) on_tick();
  return {};
}

void LiveTrace::on_tick() {
  tracer_->tend();
  tell_overhead();
  tell_memory();
  for (const auto& [pid, image] : running_) tell_not_seen(pid, false);
  note_sink_failure(source_->snapshot());
  if (config_.walk_each_interval) note_sink_failure(source_->walk_blocks());
  if (outputs_.on_interval && !outputs_.on_interval()) stopping_ = true;
}

void LiveTrace::finish() {
  if (launcher_ && config_.kinds_told && traces_postgres() && !tracer_->has_seen_libpq()) {
    log::warning("{} has not loaded libpq: it has no resources of PostgreSQL",
                 config_.target.command.front());
  }
  source_->stop_clock();
  overhead_->stop(*tracer_);
  tracer_->detach_all();  // counters and blocks are read when nothing changes them any more
  overhead_->settle();
  tell_overhead();
  tell_all_memory();
  note_sink_failure(source_->snapshot());
  note_sink_failure(source_->walk_blocks());
  named_frames_.emit_losses();
  emit(model::TraceEnd{.at_ns = now_ns()});
}

bool LiveTrace::traces_postgres() const {
  return config_.kinds.empty() || std::ranges::any_of(config_.kinds, model::is_postgres);
}

bool LiveTrace::traces_others() const {
  return config_.kinds.empty() || !std::ranges::all_of(config_.kinds, model::is_postgres);
}

// Said only where it was asked for: most programs are no clients of PostgreSQL.
void LiveTrace::tell_of_libpq() const {
  for (pid_t pid : config_.target.pids) {
    if (tracer_->has_libpq(pid) || !config_.kinds_told || !traces_postgres()) continue;
    log::warning("process {} has not loaded libpq: {}; should it load libpq later, that is seen",
                 pid,
                 traces_others() ? "the other kinds are traced" : "there is nothing to trace yet");
  }
}

void LiveTrace::tell_overhead() {
  source_->set_overhead(overhead_->overhead(*tracer_), overhead_->blind_ns(began_ns_));
}

// Of many processes some, by turns: a reading takes some 100 us.
void LiveTrace::tell_memory() {
  constexpr std::uint64_t kLeastTime = 900'000'000;
  constexpr std::size_t kMostAtOnce = 50;
  const std::uint64_t now = now_ns();
  if (now - memory_read_ns_ < kLeastTime) return;
  memory_read_ns_ = now;
  auto next = running_.upper_bound(memory_read_last_);
  for (std::size_t i = 0; i < std::min(running_.size(), kMostAtOnce); ++i, ++next) {
    if (next == running_.end()) next = running_.begin();
    emit_memory(next->first, next->second);
    memory_read_last_ = next->first;
  }
}

void LiveTrace::tell_all_memory() {
  for (const auto& [pid, image] : running_) emit_memory(pid, image);
}

void LiveTrace::emit(const model::Record& record) {
  note_sink_failure(outputs_.sink.accept(record));
}

// A recording that can no longer be written is told of once; the trace goes on.
void LiveTrace::note_sink_failure(const Result<void>& outcome) {
  if (outcome || sink_failure_) return;
  sink_failure_ = outcome.error();
  log::error("{}", outcome.error().message());
}

std::uint64_t LiveTrace::now_ns() const {
  return source_->now_ns();
}

std::optional<int> LiveTrace::wait_for_command() {
  if (!launcher_) return std::nullopt;
  while (!command_status_) {
    // Signals only: what else the trace waited for is not taken any more, and stays readable.
    pollfd signals{.fd = signals_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&signals, 1, 200);
    while (auto signal = signals_.next()) on_signal(*signal);
    on_child();
    if (interrupts_ > 1) return 0;  // the user wants leaktrace to end, and the command to go on
  }
  if (WIFSIGNALED(*command_status_)) return 128 + WTERMSIG(*command_status_);
  return WEXITSTATUS(*command_status_);
}

}  // namespace leaktrace::app
