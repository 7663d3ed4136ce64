// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "user/app/named_frames.h"
#include "user/app/options.h"
#include "user/app/overhead_control.h"
#include "user/app/postgres_trace.h"
#include "user/app/signals.h"
#include "user/app/workers.h"
#include "user/base/result.h"
#include "user/collect/live_source.h"
#include "user/collect/record_sink.h"
#include "user/tracer/launcher.h"
#include "user/tracer/link_keeper.h"
#include "user/tracer/memory_limit.h"
#include "user/tracer/tracer.h"

namespace leaktrace::app {

struct LiveTraceConfig {
  Target target;
  TraceOptions trace;
  std::uint64_t min_size = 0;
  std::uint64_t max_size = UINT64_MAX;
  std::vector<model::Kind> kinds;   ///< empty: all
  bool kinds_told = false;          ///< by the user
  bool walk_each_interval = false;  ///< single blocks are wanted in each interval's report
  std::string output;               ///< file that is given its name at the end; empty: none
};

/// Where the trace and its findings go.
struct LiveTraceOutputs {
  collect::RecordSink& sink;
  Workers& workers;
  /// After each reading but the last; false: nobody wants more, the trace ends.
  std::function<bool()> on_interval;
};

/// One trace of running processes or of a started command, from attaching to detaching: the loop
/// that waits for the kernel's events, the clock, signals and the end of processes.
///
///   Tracer (probes, processes) ─▶ LiveSource (maps, ring) ─▶ RecordSink
///        ▲────────── fork, exec, exit, code mapped ──┘
class LiveTrace {
 public:
  /// Forks the command, if there is one, which keeps what privileges this process has, and gives
  /// up all that tracing does not need, in this process for good: see give_up_privileges(). Before
  /// any thread is started.
  [[nodiscard]] static Result<std::unique_ptr<LiveTrace>> create(LiveTraceConfig config,
                                                                 LiveTraceOutputs outputs);

  /// Attaches, or starts the command. On an error nothing stays attached.
  [[nodiscard]] Result<void> start();
  /// Traces until the targets end, the duration is over or the user says so; then reads counters
  /// and blocks for the last time and detaches. A program in which nothing could be hooked is an
  /// error, told when the program has started.
  [[nodiscard]] Result<void> run();
  /// After run(): waits for a started command that outlives the trace, passing signals on, and
  /// returns the status to exit with (128 + signal for a killed one). Nothing for attached targets.
  [[nodiscard]] std::optional<int> wait_for_command();

 private:
  LiveTrace(LiveTraceConfig config, LiveTraceOutputs outputs, SignalReader signals);

  [[nodiscard]] Result<void> fork_command();
  [[nodiscard]] Result<void> give_up_privileges();
  [[nodiscard]] Result<void> fork_keeper();
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> start_command();
  [[nodiscard]] Result<void> attach_running();
  [[nodiscard]] Result<void> watch(int fd);
  [[nodiscard]] Result<void> arm_timers();
  [[nodiscard]] Result<void> wait_once();
  void on_tick();
  void finish();
  void tell_overhead();
  void tell_absence(const Absence& absence);
  void tell_memory();
  void tell_all_memory();
  void emit_memory(pid_t pid, model::ImageId image);
  void emit(const model::Record& record);
  void emit_not_seen(const model::NotSeen& not_seen);
  void tell_not_seen(pid_t pid, bool settled);
  void check_translated(pid_t pid);
  void note_sink_failure(const Result<void>& outcome);

  void on_process(const lt_event_process& event);
  void process_ended(pid_t pid, model::ImageId image, std::uint32_t wait_status,
                     std::uint64_t at_ns);
  void on_signal(const signalfd_siginfo& signal);
  void on_child();
  void command_stopped(int status);
  void command_ended(int status);
  void tell_late(pid_t pid);
  void check_hooked();
  [[nodiscard]] bool traces_postgres() const;
  [[nodiscard]] bool traces_others() const;
  void tell_of_libpq() const;
  void pass_on(const signalfd_siginfo& signal);
  void reap_lost_targets();
  model::RawFrame resolve(const lt_event_header& of, std::uint64_t address);
  [[nodiscard]] collect::PythonHandlers python_handlers();
  [[nodiscard]] std::vector<collect::MappedImage> mapped_images() const;
  void announce_image(std::uint32_t image, const tracer::ProcessInfo& info);
  void announce_module(const tracer::Module& module);
  [[nodiscard]] std::uint64_t now_ns() const;

  LiveTraceConfig config_;
  LiveTraceOutputs outputs_;
  SignalReader signals_;
  tracer::ProbeMode probe_mode_ = tracer::ProbeMode::single;
  std::unique_ptr<tracer::LinkKeeper> keeper_;
  std::unique_ptr<tracer::Tracer> tracer_;
  std::unique_ptr<OverheadControl> overhead_;
  std::unique_ptr<PostgresTrace> postgres_;
  std::unique_ptr<collect::LiveSource> source_;
  std::optional<tracer::Launcher> launcher_;
  tracer::MemoryLimits memory_limits_;
  std::uint64_t memory_read_ns_ = 0;  ///< when a round of tell_memory() was last
  pid_t memory_read_last_ = 0;        ///< and the process with which it ended

  UniqueFd epoll_;
  UniqueFd interval_timer_;
  UniqueFd duration_timer_;
  NamedFrames named_frames_{[this](const model::Record& record) { emit(record); },
                            outputs_.workers.perf_maps};
  std::map<pid_t, UniqueFd> pid_fds_;        ///< of attached targets
  std::map<pid_t, model::ImageId> running_;  ///< traced processes that have not ended
  std::set<std::uint32_t> started_images_;
  std::set<std::string> not_seen_;     ///< names of what was told of
  std::uint64_t began_ns_ = 0;         ///< CLOCK_MONOTONIC
  std::optional<int> command_status_;  ///< as wait(2) gives it
  std::optional<Error> failure_;       ///< ends the trace with an error
  std::optional<Error> sink_failure_;  ///< of the recording, say: told, and the trace goes on
  int interrupts_ = 0;
  bool stopping_ = false;
};

}  // namespace leaktrace::app
