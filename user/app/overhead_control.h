// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <bitset>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/model/record.h"
#include "user/tracer/calibration.h"
#include "user/tracer/governor.h"
#include "user/tracer/link_keeper.h"
#include "user/tracer/tracer.h"

namespace leaktrace::app {

struct OverheadOptions {
  std::optional<double> budget_percent;  ///< none: cost is measured, and nothing is done about it
  std::uint64_t sampling_base = 0;       ///< bytes; 0: the trace is exact
  tracer::ProbeMode mode = tracer::ProbeMode::single;
};

/// While it lives, this thread runs before other programs: where a target keeps every CPU busy with
/// dozens of threads, what must be done in time would not be. Of no effect where it is not allowed.
class Precedence {
 public:
  explicit Precedence(bool wanted);
  ~Precedence();
  Precedence(const Precedence&) = delete;
  Precedence& operator=(const Precedence&) = delete;

 private:
  std::optional<int> before_;
};

/// A time without probes that nobody asked for to keep a budget. CLOCK_MONOTONIC.
struct Absence {
  std::uint64_t from_ns = 0;
  std::uint64_t to_ns = 0;
  bool by_switch = false;  ///< leaktrace did not answer its keeper; else it was stopped (SIGTSTP)
};

/// Measures what a trace costs its targets, and holds it under a budget: reads what the kernel
/// counted and what CPU time the targets used, asks the governor, and does what it says.
///
///   Engine::hits ─┐                      ┌─▶ keeper: close the window; sampling step
///   CPU clocks ───┴─▶ tracer::Governor ──┴─▶ main loop: open it again, Overhead of a Snapshot
///
/// That is done by a thread of its own, which waits for nothing but its clock, SIGTSTP and the
/// keeper, prints nothing, and runs before other programs where there is a budget. The main loop,
/// which also reads files and symbolizes, may be late: then probes are away for longer. It opens
/// windows, because what was patched meanwhile must be looked at before.
///
///   open ──thread──▶ closing ──keeper──▶ closed ──main loop──▶ told ──thread──▶ opening
///     ▲                                                                           │
///     └────────────────────────────── main loop ──────────────────────────────────┘
///
/// SIGTSTP takes the probes away, in every mode, before leaktrace stops; they come back when it is
/// continued.
class OverheadControl {
 public:
  /// When probes were attached, CLOCK_MONOTONIC; told when they are gone and no program runs.
  using WindowListener = std::function<void(std::uint64_t from_ns, std::uint64_t to_ns)>;
  using AbsenceListener = std::function<void(const Absence&)>;

  /// Calibrates, which takes some 50 ms, and begins the thread. Before anything is attached. The
  /// keeper must outlive this.
  [[nodiscard]] static Result<std::unique_ptr<OverheadControl>> create(OverheadOptions options,
                                                                       tracer::LinkKeeper& keeper);
  ~OverheadControl();

  // What follows is for the main loop; listeners are called by it too.

  /// Readable when it is time for on_event().
  [[nodiscard]] int event_fd() const { return event_.get(); }

  /// A process is traced from now on, or has a new image.
  void add(const tracer::Tracer& tracer, pid_t pid, std::uint32_t image);
  /// A process has ended.
  void remove(const tracer::Tracer& tracer, pid_t pid);

  /// Probes are attached: from now on the budget is held. The tracer must live until stop().
  void begin(tracer::Tracer& tracer);
  /// Does what is due. An error: the keeper has ended, and the probes are gone.
  [[nodiscard]] Result<void> on_event(tracer::Tracer& tracer);
  /// The trace is over: the thread ends, nothing is attached again, and SIGTSTP stops leaktrace as
  /// any program. Before the probes are taken away.
  void stop(const tracer::Tracer& tracer);
  /// Tells of the window that has ended, if the kernel has let go by now; and after stop() of an
  /// absence that lasted to the end.
  void settle();

  void on_window_end(WindowListener listener) { on_window_end_ = std::move(listener); }
  void on_absence(AbsenceListener listener) { on_absence_ = std::move(listener); }

  /// What tracing has cost up to now; but for observed_ns, which blind_ns() is there for.
  [[nodiscard]] model::Overhead overhead(const tracer::Tracer& tracer);
  /// Time since `trace_began_ns` (CLOCK_MONOTONIC) in which no probes were attached; 0 where they
  /// were never taken away: then the trace is as whole as it can be.
  [[nodiscard]] std::uint64_t blind_ns(std::uint64_t trace_began_ns) const;

 private:
  enum class Phase { before, open, closing, closed, told, opening };

  /// Running totals of a target go on when it executes another program.
  struct Watched {
    std::uint32_t image = 0;
    lt_hits earlier{};  ///< of images that it had before
    lt_hits base{};     ///< what others have had in the slot of its image
    std::uint64_t cpu_base_ns = 0;
  };

  struct Descriptors {
    UniqueFd timer;
    UniqueFd event;
    UniqueFd end;
    UniqueFd stops;  ///< SIGTSTP; none where leaktrace was told to ignore it
  };
  [[nodiscard]] static Result<Descriptors> open_descriptors();

  OverheadControl(OverheadOptions options, tracer::LinkKeeper& keeper,
                  tracer::Calibration calibration, Descriptors descriptors);
  [[nodiscard]] std::vector<tracer::TargetReading> read(const tracer::Tracer& tracer) const;
  [[nodiscard]] std::optional<tracer::TargetReading> read_one(const tracer::Tracer& tracer,
                                                              pid_t pid,
                                                              const Watched& watched) const;
  void resume(tracer::Tracer& tracer);
  void arm(std::uint64_t at_ns);
  void wake_main_loop();

  // The thread's.
  void control();
  void decide();
  void close_window(std::uint64_t now_ns);
  void see_window();
  void suspend();

  OverheadOptions options_;
  tracer::LinkKeeper& keeper_;
  std::future<void> detaching_;  ///< the probes of the calibration
  UniqueFd timer_;
  UniqueFd event_;
  UniqueFd end_;
  UniqueFd stops_;
  WindowListener on_window_end_;
  AbsenceListener on_absence_;

  mutable std::mutex mutex_;  ///< of all that follows
  tracer::Governor governor_;
  std::map<pid_t, Watched> watched_;
  std::bitset<LT_HIT_SLOTS> used_slots_;
  tracer::Tracer* tracer_ = nullptr;
  Phase phase_ = Phase::before;
  std::uint64_t began_ns_ = 0;  ///< 0: before begin()
  std::uint64_t window_from_ns_ = 0;
  std::uint64_t window_to_ns_ = 0;
  std::optional<Absence> absence_;  ///< that goes on
  bool keeper_is_gone_ = false;
  std::optional<std::uint64_t> stopped_ns_;

  std::thread thread_;
};

}  // namespace leaktrace::app
