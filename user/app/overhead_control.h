// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <bitset>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/model/record.h"
#include "user/tracer/calibration.h"
#include "user/tracer/governor.h"
#include "user/tracer/tracer.h"

namespace leaktrace::app {

struct OverheadOptions {
  std::optional<double> budget_percent;  ///< none: cost is measured, and nothing is done about it
  std::uint64_t sampling_base = 0;       ///< bytes; 0: the trace is exact
  tracer::ProbeMode mode = tracer::ProbeMode::single;
};

/// Lets this thread, and those that it begins, run before others: where a target keeps every CPU
/// busy with dozens of threads, probes could not be taken away in time. Of no effect without
/// CAP_SYS_NICE.
void take_precedence();

/// Measures what a trace costs its targets, and holds it under a budget: reads what the kernel
/// counted and what CPU time the targets used, asks the governor, and does what it says.
///
///   Engine::hits ─┐                      ┌─▶ Tracer: pause, resume, sampling step
///   CPU clocks ───┴─▶ tracer::Governor ──┴─▶ Overhead of the next Snapshot
class OverheadControl {
 public:
  /// When probes were attached, CLOCK_MONOTONIC; told when they are gone and no program runs.
  using WindowListener = std::function<void(std::uint64_t from_ns, std::uint64_t to_ns)>;

  /// Calibrates, which takes some 50 ms. Before anything is attached.
  [[nodiscard]] static Result<std::unique_ptr<OverheadControl>> create(OverheadOptions options);

  /// Readable when it is time for on_timer().
  [[nodiscard]] int timer_fd() const { return timer_.get(); }

  /// A process is traced from now on, or has a new image.
  void add(const tracer::Tracer& tracer, pid_t pid, std::uint32_t image);
  /// A process has ended.
  void remove(const tracer::Tracer& tracer, pid_t pid);

  /// Probes are attached: from now on the budget is held.
  void begin();
  /// Looks whether it is time, and does what is due.
  void on_timer(tracer::Tracer& tracer);
  /// The trace is over: nothing is attached again. Before the probes are taken away.
  void stop(const tracer::Tracer& tracer);
  /// Tells of the window that has ended, if the kernel has let go by now.
  void settle(tracer::Tracer& tracer);

  void on_window_end(WindowListener listener) { on_window_end_ = std::move(listener); }

  /// What tracing has cost up to now; but for observed_ns, which blind_ns() is there for.
  [[nodiscard]] model::Overhead overhead(const tracer::Tracer& tracer);
  /// Time since `trace_began_ns` (CLOCK_MONOTONIC) in which no probes were attached; 0 where they
  /// were never taken away: then the trace is as whole as it can be.
  [[nodiscard]] std::uint64_t blind_ns(std::uint64_t trace_began_ns) const;

 private:
  /// Running totals of a target go on when it executes another program.
  struct Watched {
    std::uint32_t image = 0;
    lt_hits earlier{};  ///< of images that it had before
    lt_hits base{};     ///< what others have had in the slot of its image
    std::uint64_t cpu_base_ns = 0;
  };

  OverheadControl(OverheadOptions options, tracer::Calibration calibration, UniqueFd timer);
  [[nodiscard]] std::vector<tracer::TargetReading> read(const tracer::Tracer& tracer) const;
  [[nodiscard]] std::optional<tracer::TargetReading> read_one(const tracer::Tracer& tracer,
                                                              pid_t pid,
                                                              const Watched& watched) const;
  void pause(tracer::Tracer& tracer);
  void resume(tracer::Tracer& tracer);
  void arm(std::uint64_t at_ns);

  OverheadOptions options_;
  std::future<void> detaching_;  ///< the probes of the calibration
  UniqueFd timer_;
  tracer::Governor governor_;
  WindowListener on_window_end_;
  std::map<pid_t, Watched> watched_;
  std::bitset<LT_HIT_SLOTS> used_slots_;
  std::uint64_t began_ns_ = 0;  ///< 0: before begin()
  std::uint64_t window_from_ns_ = 0;
  bool window_is_open_ = false;  ///< or has ended, and nobody was told
  std::optional<std::uint64_t> stopped_ns_;
};

}  // namespace leaktrace::app
