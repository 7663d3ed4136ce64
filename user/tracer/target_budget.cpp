// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/target_budget.h"

#include <algorithm>

namespace leaktrace::tracer {
namespace {

/// Unused credit is kept of so much CPU time, or of as much as was used in so much time.
constexpr double kKeptCpuNs = 5e9;
constexpr double kKeptWallNs = 8e9;
/// How fast estimates of rates follow.
constexpr double kCpuRateMemoryNs = 1e9;
constexpr double kCostRateMemoryNs = 250e6;
constexpr double kNever = 1e18;
/// The mean time of programs rests on so many of their runs, and on all since the reading before.
constexpr double kTimedRuns = 256;
constexpr double kFewRuns = 4;
/// The most that a sample takes on average: its stack and its entry in the tables, with cold
/// caches.
constexpr double kMostSampleNs = 20'000;

double blend(double old_value, double new_value, double interval_ns, double memory_ns) {
  const double share = interval_ns / (interval_ns + memory_ns);
  return old_value + (new_value - old_value) * share;
}

lt_hits since(const lt_hits& now, const lt_hits& before) {
  // Counters of a slot can be read while they are written, and begin anew with an image.
  auto rise = [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; };
  return {.entries = rise(now.entries, before.entries),
          .stepped = rise(now.stepped, before.stepped),
          .returns = rise(now.returns, before.returns),
          .timed = rise(now.timed, before.timed),
          .timed_ns = rise(now.timed_ns, before.timed_ns),
          .samples = rise(now.samples, before.samples)};
}

}  // namespace

TargetCost TargetBudget::cost_of(const lt_hits& hits) {
  if (hits.timed > 0) {
    const double keep = timed_ > kTimedRuns ? kTimedRuns / timed_ : 1;
    timed_ = timed_ * keep + static_cast<double>(hits.timed);
    timed_ns_ = timed_ns_ * keep + static_cast<double>(hits.timed_ns);
  }
  const auto entries = static_cast<double>(hits.entries);
  const auto stepped = static_cast<double>(hits.stepped);
  const auto returns = static_cast<double>(hits.returns);
  const double mean_run = timed_ > 0 ? timed_ns_ / timed_ : 0;
  TargetCost cost;
  cost.entries = entries + stepped;
  cost.hits = cost.entries + returns;
  cost.trap_ns = entries * costs_.entry + stepped * costs_.stepped;
  cost.cost_ns = cost.trap_ns + returns * costs_.returning + cost.hits * mean_run;
  cost.sampled_ns = std::min(
      cost.spared_ns(), static_cast<double>(hits.samples) * (costs_.returning + kMostSampleNs));
  return cost;
}

TargetCost TargetBudget::take(const TargetReading& reading, std::uint64_t now_ns, bool attached) {
  TargetCost cost = cost_of(since(reading.hits, last_.hits));
  if (reading.cpu_ns > last_.cpu_ns) {
    cost.cpu_ns = static_cast<double>(reading.cpu_ns - last_.cpu_ns);
  }
  const double wall_ns = now_ns <= last_ns_ ? 0 : static_cast<double>(now_ns - last_ns_);
  cost.credit_ns = share_ * std::max(cost.cpu_ns, kLeastCpuRate * wall_ns);
  balance_ns_ += cost.credit_ns - cost.cost_ns;
  learn_rates(cost, wall_ns, attached);
  balance_ns_ = std::min(balance_ns_, most_kept_ns());

  const std::uint64_t cpu_ns = std::max(reading.cpu_ns, last_.cpu_ns);
  last_ = reading;
  last_.cpu_ns = cpu_ns;
  last_ns_ = now_ns;
  return cost;
}

void TargetBudget::learn_rates(const TargetCost& cost, double wall_ns, bool attached) {
  if (wall_ns > 0) {
    const double rate = cost.cpu_ns / wall_ns;
    cpu_rate_ = cpu_rate_ == 0 ? rate : blend(cpu_rate_, rate, wall_ns, kCpuRateMemoryNs);
  }
  if (attached && wall_ns > 0) {
    window_cost_ns_ += cost.cost_ns;
    window_ns_ += wall_ns;
    const double rate = cost.cost_ns / wall_ns;
    cost_rate_ = cost_rate_ == 0 ? rate : blend(cost_rate_, rate, wall_ns, kCostRateMemoryNs);
    // A storm shows at once.
    cost_rate_ = std::max(cost_rate_, window_cost_ns_ / window_ns_);
    highest_rate_ = std::max(highest_rate_, cost_rate_);
  } else if (!attached) {
    pause_cost_ns_ += cost.cost_ns;
  }
}

double TargetBudget::charge_switch(std::uint64_t took_ns) {
  // While code is patched the address space is locked: those threads stand still that take page
  // faults or map memory, at most all that run.
  const double stalled_ns = 2 * static_cast<double>(took_ns) * std::min(cpu_rate_, 1.0);
  attach_ns_ = (attach_ns_ + static_cast<double>(took_ns)) / 2;
  switch_ns_ = switch_ns_ == 0 ? stalled_ns : (switch_ns_ + stalled_ns) / 2;
  balance_ns_ -= stalled_ns;
  return stalled_ns;
}

void TargetBudget::forget_runs() {
  const double keep = timed_ > kFewRuns ? kFewRuns / timed_ : 1;
  timed_ *= keep;
  timed_ns_ *= keep;
}

void TargetBudget::begin_window() {
  if (window_ns_ > 0) cost_rate_ = window_cost_ns_ / window_ns_;
  tail_ns_ = tail_ns_ == 0 ? pause_cost_ns_ : (tail_ns_ + pause_cost_ns_) / 2;
  window_cost_ns_ = window_ns_ = pause_cost_ns_ = 0;
}

double TargetBudget::full_price_ns(std::uint64_t window_ns) const {
  return cost_rate_ * (static_cast<double>(window_ns) + attach_ns_) +
         std::max(tail_ns_, pause_cost_ns_) + switch_ns_;
}

double TargetBudget::most_kept_ns() const {
  return share_ * std::max(kKeptCpuNs, cpu_rate_ * kKeptWallNs) + full_price_ns(2 * kLeastWindowNs);
}

// Not more than can be saved, when the target uses less CPU time than it did.
double TargetBudget::price_of_window(std::uint64_t window_ns) const {
  return std::min(full_price_ns(window_ns), most_kept_ns());
}

double TargetBudget::until_balance_ns(double balance_ns) const {
  const double missing_ns = balance_ns - balance_ns_;
  if (missing_ns <= 0) return 0;
  return credit_rate() > 0 ? missing_ns / credit_rate() : kNever;
}

double TargetBudget::until_overdrawn_ns() const {
  return std::max(balance_ns_ - reserve_ns(), 0.0) / highest_rate_;
}

}  // namespace leaktrace::tracer
