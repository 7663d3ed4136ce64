// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "user/tracer/target_budget.h"

namespace leaktrace::tracer {

struct GovernorOptions {
  double budget_percent = 0;  ///< of each target's CPU time; 0: none, only measures
  bool may_widen = false;     ///< the sampling interval can be widened: the trace samples
  std::uint32_t steps = LT_SAMPLING_STEPS;
  HitCosts costs;
  std::uint32_t seed = 1;  ///< of the lengths of windows
};

/// What is to be done until the next decision.
struct GovernorPlan {
  bool attached = true;       ///< are the probes to be in the targets?
  std::uint32_t step = 0;     ///< the sampling interval is its base << step
  std::uint64_t next_ns = 0;  ///< when to decide again, on the clock of decide()
};

/// Holds what tracing costs under a budget. Pure: it is told the time and what was counted, and
/// says what to do.
///
///   hits x cost of a hit ─▶ TargetBudget, one a target ─┬▶ overdrawn: take the probes away
///   CPU time used ────────▶                             ├▶ a window can be paid for: put them back
///                                                       └▶ dear work at samples: widen the
///                                                       interval
///
/// A target's cost is compared with the CPU time that it used, which has the cost in it: for a
/// target that is bound by the CPU this is the throughput that it loses. Probes and the sampling
/// interval are the same for all targets, so the one that is worst off decides.
///
/// Taking probes away is the guarantee, and is always there; the interval is widened where that
/// makes it needless, or the windows longer, and narrowed again when there is room. The lengths of
/// windows, and so of the blind times that pay for them, are random within a third: nothing that a
/// target does periodically can hide between them.
class Governor {
 public:
  explicit Governor(const GovernorOptions& options);

  /// How long after attaching to decide for the first time: at the worst every instruction of the
  /// target is a probe's, and the first second must hold the budget.
  [[nodiscard]] std::uint64_t first_look_ns() const;

  /// A target is traced from now on.
  void add(pid_t pid, std::uint64_t now_ns);
  /// Enters what was counted of targets, some or all. `now_ns` never falls.
  void take(std::uint64_t now_ns, const std::vector<TargetReading>& targets);
  /// The same of all targets that live, and decides.
  GovernorPlan decide(std::uint64_t now_ns, const std::vector<TargetReading>& targets);

  /// Probes were attached (again), or began to be taken away, and that took so long.
  void probes_changed(bool attached, std::uint64_t now_ns, std::uint64_t took_ns);

  /// Attaching again took so long: for what is known only after probes_changed().
  void switch_took(std::uint64_t took_ns);

  /// After they began to be taken away: when that had an effect.
  void probes_gone(std::uint64_t at_ns);

  /// The target has ended. What it cost stays in the sums.
  void forget(pid_t pid) { targets_.erase(pid); }

  [[nodiscard]] bool attached() const { return attached_; }
  [[nodiscard]] std::uint32_t step() const { return step_; }
  /// Trap and program of a hit, on average since the trace began; 0: no hits yet.
  [[nodiscard]] double nanoseconds_per_hit() const;
  /// What all targets' CPU time went to, since the trace began.
  [[nodiscard]] double percent_of_target_cpu() const;
  /// Time in which no probes were attached, up to `now_ns`.
  [[nodiscard]] std::uint64_t blind_ns(std::uint64_t now_ns) const;

 private:
  [[nodiscard]] bool limited() const { return share_ > 0; }
  [[nodiscard]] bool any_overdrawn() const;
  [[nodiscard]] bool can_pay_window() const;
  [[nodiscard]] std::uint64_t next_window_ns() const;
  void plan_blind_time();
  [[nodiscard]] std::uint64_t next_look(std::uint64_t now_ns) const;
  void choose_step(std::uint64_t now_ns);
  void widen(std::uint64_t now_ns);
  void step_changed(std::uint32_t step);

  GovernorOptions options_;
  double share_ = 0;
  std::map<pid_t, TargetBudget> targets_;
  std::minstd_rand random_;

  std::uint64_t last_ns_ = 0;  ///< of the last reading
  bool attached_ = true;
  std::uint64_t changed_ns_ = 0;  ///< when probes were last attached or taken away
  std::uint64_t blind_ns_ = 0;    ///< before that
  double spread_ = 1;             ///< of the next window, while blind
  double cycle_ns_ = 0;           ///< window and blind time together, aimed at

  std::uint32_t step_ = 0;
  TargetCost seen_;                 ///< by the worst target, since the interval was judged
  double spared_per_entry_ns_ = 0;  ///< before the interval was widened last
  std::uint32_t widened_by_ = 0;    ///< whether it was of use is not known yet
  std::uint64_t no_widening_before_ns_ = 0;
  std::uint64_t roomy_since_ns_ = 0;

  double hits_ = 0;
  double cost_ns_ = 0;
  double cpu_ns_ = 0;
};

}  // namespace leaktrace::tracer
