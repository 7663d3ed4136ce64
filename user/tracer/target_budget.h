// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>

#include "leaktrace/abi.h"

namespace leaktrace::tracer {

/// The shortest time with probes: below it, attaching and detaching are most of the cost.
inline constexpr std::uint64_t kLeastWindowNs = 20'000'000;

/// A target that uses less than so much of a CPU is not slowed by what its budget would be if it
/// used as much: it waits most of the time.
inline constexpr double kLeastCpuRate = 0.1;

/// What may be overdrawn in all: a target that does next to nothing would else be left unobserved
/// for a few calls.
inline constexpr double kAllowanceNs = 1e6;

/// What the kernel takes for one hit of a probe on this machine, in nanoseconds; what the program
/// does for a traced process is not in it (lt_hits::timed_ns has that).
struct HitCosts {
  double entry = 0;      ///< on an instruction that the kernel emulates
  double stepped = 0;    ///< on one that it single-steps
  double returning = 0;  ///< what a return probe adds to its entry
};

/// What one target has used and been hit, running totals since tracing of it began.
struct TargetReading {
  pid_t pid = 0;
  lt_hits hits{};
  std::uint64_t cpu_ns = 0;  ///< 0: gone
};

/// What tracing cost one target over some time.
struct TargetCost {
  double cost_ns = 0;
  double trap_ns = 0;  ///< the part of it that no sampling interval changes
  double cpu_ns = 0;
  double credit_ns = 0;   ///< what it was allowed to cost
  double entries = 0;     ///< calls that were seen
  double hits = 0;        ///< entries and returns
  double sampled_ns = 0;  ///< at most so much of the cost is work at samples

  /// What a wider sampling interval may spare a part of.
  [[nodiscard]] double spared_ns() const { return cost_ns - trap_ns; }
};

/// The account of one target: CPU time that it uses brings credit, the part of it that may go to
/// tracing; what tracing costs it is taken from that.
///
/// The balance is what was not used of the budget since tracing began, so as long as it is not
/// negative the budget holds on average. Unused credit is kept for a few seconds of CPU time only:
/// a target that was idle for hours must not be slowed for minutes.
class TargetBudget {
 public:
  /// `share`: of the target's CPU time, 0.05 for 5 %. `since_ns`: when tracing of it began.
  TargetBudget(const HitCosts& costs, double share, std::uint64_t since_ns)
      : costs_(costs), share_(share), last_ns_(since_ns) {}

  /// Enters what happened since the reading before. `attached`: were there probes in that time?
  TargetCost take(const TargetReading& reading, std::uint64_t now_ns, bool attached);
  /// Enters that attaching again took so long; taking away does the same to a target.
  double charge_switch(std::uint64_t took_ns);

  [[nodiscard]] double balance_ns() const { return balance_ns_; }
  /// What a time with probes has to be paid in advance with.
  [[nodiscard]] double price_of_window(std::uint64_t window_ns) const;
  /// After the probes were taken away hits may still come; they are paid for in advance too.
  [[nodiscard]] double reserve_ns() const { return tail_ns_; }
  /// Time until the balance is at `balance_ns` with no probes attached; a very long time for never.
  [[nodiscard]] double until_balance_ns(double balance_ns) const;
  /// Time until it is overdrawn should the target begin to do what was the dearest so far.
  [[nodiscard]] double until_overdrawn_ns() const;

  /// Cost with probes attached, in ns for each ns of the wall clock.
  [[nodiscard]] double cost_rate() const { return cost_rate_; }
  /// Credit, in the same unit.
  [[nodiscard]] double credit_rate() const { return share_ * std::max(cpu_rate_, kLeastCpuRate); }

  /// What programs do for a hit has changed: how long they took is soon out of date.
  void forget_runs();
  /// A new time with probes begins.
  void begin_window();

 private:
  [[nodiscard]] TargetCost cost_of(const lt_hits& hits);
  [[nodiscard]] double full_price_ns(std::uint64_t window_ns) const;
  [[nodiscard]] double most_kept_ns() const;
  void learn_rates(const TargetCost& cost, double wall_ns, bool attached);

  HitCosts costs_;
  double share_ = 0;
  TargetReading last_;
  std::uint64_t last_ns_ = 0;

  double balance_ns_ = kAllowanceNs;
  double cpu_rate_ = 0;
  double cost_rate_ = 0;
  double highest_rate_ = 1;  ///< of a thread that does nothing else, until more was seen
  double tail_ns_ = 0;
  double switch_ns_ = 0;
  double attach_ns_ = 10e6;    ///< time in which more and more probes are there
  double window_cost_ns_ = 0;  ///< in the window that is or was open
  double window_ns_ = 0;
  double pause_cost_ns_ = 0;  ///< of hits after it was closed
  double timed_ = 0;          ///< runs of programs that were timed, the older the less they count
  double timed_ns_ = 0;
};

}  // namespace leaktrace::tracer
