// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/governor.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace leaktrace::tracer {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1000 * kMillisecond;

/// Between two decisions while nothing is near its limit; reading a target takes some microseconds.
constexpr std::uint64_t kPeriod = 100 * kMillisecond;
constexpr std::uint64_t kPeriodPerTarget = kMillisecond;
constexpr std::uint64_t kPeriodWithoutBudget = kSecond;
constexpr std::uint64_t kLeastPause = 2 * kMillisecond;

/// The rest of the budget is for what is not known so well: calibration, and hits after probes have
/// been taken away.
constexpr double kAim = 0.9;

constexpr double kFirstCycleNs = 0.4e9;
constexpr double kLongestCycleNs = 4e9;
constexpr double kCycleGrowth = 1.5;
constexpr double kLongestWindowNs = 2e9;
constexpr double kLeastSpread = 0.25;
constexpr double kMostSpread = 4;

/// Calls on which a judgement about the sampling interval rests.
constexpr double kEnoughCalls = 2000;
/// The work that sampling can spare is worth sparing when it is at least so much of the cost.
constexpr double kRelevantPart = 0.25;
constexpr double kMostStepsAtOnce = 3;
/// A wider interval has spared something when it left at most so much.
constexpr double kWorthIt = 0.9;
constexpr std::uint64_t kNoUsePause = 30 * kSecond;
/// It is narrowed again when twice the work at samples would leave so much of the budget for so
/// long, or when that work is next to nothing beside the traps, which only windows can spare.
constexpr double kNegligiblePart = 0.1;
constexpr double kRoomy = 0.8;
constexpr std::uint64_t kRoomyFor = 10 * kSecond;

std::uint64_t whole_ns(double ns, std::uint64_t least, std::uint64_t most) {
  if (!(ns > static_cast<double>(least))) return least;
  return ns < static_cast<double>(most) ? static_cast<std::uint64_t>(ns) : most;
}

TargetCost operator+(const TargetCost& a, const TargetCost& b) {
  return {.cost_ns = a.cost_ns + b.cost_ns,
          .trap_ns = a.trap_ns + b.trap_ns,
          .cpu_ns = a.cpu_ns + b.cpu_ns,
          .credit_ns = a.credit_ns + b.credit_ns,
          .entries = a.entries + b.entries,
          .hits = a.hits + b.hits,
          .sampled_ns = a.sampled_ns + b.sampled_ns};
}

}  // namespace

Governor::Governor(const GovernorOptions& options)
    : options_(options),
      share_(kAim * options.budget_percent / 100),
      random_(options.seed),
      cycle_ns_(kFirstCycleNs) {}

std::uint64_t Governor::first_look_ns() const {
  if (!limited()) return kPeriodWithoutBudget;
  return whole_ns(share_ * 0.3e9, 3 * kMillisecond, 50 * kMillisecond);
}

GovernorPlan Governor::decide(std::uint64_t now_ns, const std::vector<TargetReading>& targets) {
  take(now_ns, targets);
  GovernorPlan plan{
      .attached = attached_ || !limited(), .step = step_, .next_ns = now_ns + kPeriodWithoutBudget};
  if (!limited()) return plan;
  if (attached_) {
    choose_step(now_ns);
    if (any_overdrawn()) {
      plan.attached = false;
      plan_blind_time();
    }
  } else {
    plan.attached = can_pay_window();
  }
  plan.step = step_;
  plan.next_ns = next_look(now_ns);
  return plan;
}

void Governor::add(pid_t pid, std::uint64_t now_ns) {
  targets_.try_emplace(pid, options_.costs, share_, now_ns);
}

void Governor::take(std::uint64_t now_ns, const std::vector<TargetReading>& targets) {
  if (last_ns_ == 0) last_ns_ = now_ns;
  TargetCost worst;
  double worst_excess = 0;
  for (const TargetReading& reading : targets) {
    auto target = targets_.try_emplace(reading.pid, options_.costs, share_, last_ns_).first;
    const TargetCost cost = target->second.take(reading, now_ns, attached_);
    hits_ += cost.hits;
    cost_ns_ += cost.cost_ns;
    cpu_ns_ += cost.cpu_ns;
    const double excess = cost.cost_ns / std::max(cost.credit_ns, 1.0);
    if (cost.entries > 0 && excess >= worst_excess) {
      worst_excess = excess;
      worst = cost;
    }
  }
  if (attached_) seen_ = seen_ + worst;
  last_ns_ = now_ns;
}

void Governor::probes_changed(bool attached, std::uint64_t now_ns, std::uint64_t took_ns) {
  if (attached && !attached_) {
    blind_ns_ += now_ns - changed_ns_;
    for (auto& [pid, target] : targets_) target.begin_window();
    if (took_ns > 0) switch_took(took_ns);
  }
  if (attached != attached_ || changed_ns_ == 0) changed_ns_ = now_ns;
  if (last_ns_ == 0) last_ns_ = now_ns;
  attached_ = attached;
}

void Governor::switch_took(std::uint64_t took_ns) {
  for (auto& [pid, target] : targets_) cost_ns_ += target.charge_switch(took_ns);
}

void Governor::probes_gone(std::uint64_t at_ns) {
  if (!attached_) changed_ns_ = std::max(changed_ns_, at_ns);
}

// ---- Windows ------------------------------------------------------------------------------------

bool Governor::any_overdrawn() const {
  return std::ranges::any_of(targets_, [](const auto& entry) {
    return entry.second.balance_ns() < entry.second.reserve_ns();
  });
}

bool Governor::can_pay_window() const {
  const std::uint64_t window_ns = next_window_ns();
  return std::ranges::all_of(targets_, [window_ns](const auto& entry) {
    return entry.second.balance_ns() >= entry.second.price_of_window(window_ns);
  });
}

// As long as the budget allows, in a cycle that is short at first, so that a short trace has
// several.
std::uint64_t Governor::next_window_ns() const {
  double duty = 1;
  for (const auto& [pid, target] : targets_) {
    if (target.cost_rate() > 0) duty = std::min(duty, target.credit_rate() / target.cost_rate());
  }
  const double length =
      std::clamp(duty * cycle_ns_, static_cast<double>(kLeastWindowNs), kLongestWindowNs);
  return static_cast<std::uint64_t>(length * spread_);
}

void Governor::plan_blind_time() {
  cycle_ns_ = std::min(cycle_ns_ * kCycleGrowth, kLongestCycleNs);
  std::exponential_distribution<double> spread(1);
  spread_ = std::clamp(spread(random_), kLeastSpread, kMostSpread);
}

std::uint64_t Governor::next_look(std::uint64_t now_ns) const {
  const std::uint64_t period = kPeriod + kPeriodPerTarget * targets_.size();
  double wait_ns = static_cast<double>(period);
  if (attached_) {
    // A storm may begin at any time, and most likely is why the last window ended.
    wait_ns = std::min(wait_ns, static_cast<double>(std::max(now_ns - std::min(now_ns, changed_ns_),
                                                             first_look_ns())));
    for (const auto& [pid, target] : targets_) {
      wait_ns = std::min(wait_ns, target.until_overdrawn_ns());
    }
  } else {
    const std::uint64_t window_ns = next_window_ns();
    double needed_ns = 0;
    for (const auto& [pid, target] : targets_) {
      needed_ns = std::max(needed_ns, target.until_balance_ns(target.price_of_window(window_ns)));
    }
    wait_ns = std::min(wait_ns, needed_ns);
  }
  return now_ns + whole_ns(wait_ns, kLeastPause, period);
}

// ---- The sampling interval ----------------------------------------------------------------------

void Governor::choose_step(std::uint64_t now_ns) {
  if (!options_.may_widen || seen_.entries < kEnoughCalls) return;
  const bool over = seen_.cost_ns > seen_.credit_ns;
  if (over && seen_.sampled_ns > kRelevantPart * seen_.cost_ns) {
    widen(now_ns);
  } else if (!over) {
    widened_by_ = 0;
  }
  const bool roomy = seen_.cost_ns + seen_.sampled_ns < kRoomy * seen_.credit_ns ||
                     seen_.sampled_ns < kNegligiblePart * seen_.cost_ns;
  if (!roomy || roomy_since_ns_ == 0) roomy_since_ns_ = now_ns;
  if (roomy && step_ > 0 && now_ns - roomy_since_ns_ >= kRoomyFor) {
    step_changed(step_ - 1);
    roomy_since_ns_ = now_ns;
  }
  seen_ = {};
}

void Governor::widen(std::uint64_t now_ns) {
  const double per_entry = seen_.spared_ns() / seen_.entries;
  if (widened_by_ > 0 && per_entry > kWorthIt * spared_per_entry_ns_) {
    // What is left is not work at samples.
    step_changed(step_ - std::exchange(widened_by_, 0));
    no_widening_before_ns_ = now_ns + kNoUsePause;
    return;
  }
  if (now_ns < no_widening_before_ns_ || step_ + 1 >= options_.steps) return;
  const double room_ns = std::max(seen_.credit_ns - seen_.trap_ns, 0.1 * seen_.spared_ns());
  const double steps = std::ceil(std::log2(seen_.spared_ns() / room_ns));
  widened_by_ = std::min(static_cast<std::uint32_t>(std::clamp(steps, 1.0, kMostStepsAtOnce)),
                         options_.steps - 1 - step_);
  spared_per_entry_ns_ = per_entry;
  step_changed(step_ + widened_by_);
}

void Governor::step_changed(std::uint32_t step) {
  step_ = step;
  for (auto& [pid, target] : targets_) target.forget_runs();
}

// ---- What is told -------------------------------------------------------------------------------

double Governor::nanoseconds_per_hit() const {
  return hits_ > 0 ? cost_ns_ / hits_ : 0;
}

double Governor::percent_of_target_cpu() const {
  return cpu_ns_ > 0 ? 100 * cost_ns_ / cpu_ns_ : 0;
}

std::uint64_t Governor::blind_ns(std::uint64_t now_ns) const {
  return blind_ns_ + (attached_ || now_ns < changed_ns_ ? 0 : now_ns - changed_ns_);
}

}  // namespace leaktrace::tracer
