// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/diff_limits.h"

#include <algorithm>
#include <cmath>

namespace leaktrace::analyze {
namespace {

/// An amount that is between two others.
struct Between {
  double low = 0;
  double amount = 0;
  double high = 0;
};

/// Both of one amount.
struct Sides {
  Between count;
  Between bytes;
  bool exact = true;
};

// Of a sum of independent amounts with limits each, and below of a difference, the limits come from
// the squares of the distances to theirs, as variances add up (MOVER: Zou and Donner, 2008). It
// needs no normal distribution, so it holds for the lopsided limits of few samples.

Limits limits_of_sum(std::uint64_t a, const Limits& of_a, std::uint64_t b, const Limits& of_b) {
  const auto real = [](std::uint64_t value) { return static_cast<double>(value); };
  const double sum = real(a) + real(b);
  const double below = std::hypot(real(a) - real(of_a.low), real(b) - real(of_b.low));
  const double above = std::hypot(real(of_a.high) - real(a), real(of_b.high) - real(b));
  const auto whole = [](double value) {
    constexpr double kMost = 1.8e19;  // just below 2^64
    return static_cast<std::uint64_t>(std::clamp(value, 0.0, kMost));
  };
  return {whole(std::floor(sum - below)), whole(std::ceil(sum + above))};
}

std::int64_t whole(double value) {
  constexpr double kMost = 9.2e18;  // just below 2^63
  return static_cast<std::int64_t>(std::clamp(value, -kMost, kMost));
}

DifferenceLimits limits_of_difference(const Between& older, const Between& newer) {
  const double change = newer.amount - older.amount;
  const double below = std::hypot(newer.amount - newer.low, older.high - older.amount);
  const double above = std::hypot(newer.high - newer.amount, older.amount - older.low);
  return {whole(std::floor(change - below)), whole(std::ceil(change + above))};
}

Between between(std::uint64_t amount, const Limits& limits) {
  return {static_cast<double>(limits.low), static_cast<double>(amount),
          static_cast<double>(limits.high)};
}

DifferenceLimits either(const DifferenceLimits& a, const DifferenceLimits& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

Between scaled(const Between& of, double by) {
  return {of.low * by, of.amount * by, of.high * by};
}

/// By how much more there may be than was seen: what was acquired while a budget kept the probes
/// away is in no number. Connections are always seen.
double unseen_factor(const Report& report, model::Kind kind) {
  if (!report.budget_percent || kind == model::Kind::pg_connection) return 1;
  return report.duty_percent > 0 ? std::max(100 / report.duty_percent, 1.0) : 1;
}

/// An exact amount has limits of its own.
Estimate known_of(const DiffAmount& of) {
  return of.estimate.value_or(
      Estimate{.samples = 0, .count = {of.count, of.count}, .bytes = {of.bytes, of.bytes}});
}

/// `other`: the same of the other recording, which says what size a block has that is missing here.
Sides sides_of(const DiffAmount& of, const DiffAmount& other, const Report& report,
               model::Kind kind) {
  Estimate known = known_of(of);
  bool exact = !of.estimate.has_value();
  // Only the heap is sampled.
  if (of.sites == 0 && report.sampling_bytes_now > 0 && kind == model::Kind::heap) {
    const double blocks = std::max(static_cast<double>(other.count), 1.0);
    known = estimate_of_none(report.sampling_bytes_now, static_cast<double>(other.bytes) / blocks);
    exact = false;
  }
  return {between(of.count, known.count), between(of.bytes, known.bytes), exact};
}

bool holds_zero(const DifferenceLimits& limits) {
  return limits.low <= 0 && limits.high >= 0;
}

}  // namespace

void add(DiffAmount& to, const DiffAmount& more) {
  if (to.estimate || more.estimate) {
    const Estimate a = known_of(to);
    const Estimate b = known_of(more);
    to.estimate = Estimate{.samples = a.samples + b.samples,
                           .count = limits_of_sum(to.count, a.count, more.count, b.count),
                           .bytes = limits_of_sum(to.bytes, a.bytes, more.bytes, b.bytes),
                           .unseen_count = a.unseen_count + b.unseen_count,
                           .unseen_bytes = a.unseen_bytes + b.unseen_bytes};
  }
  to.sites += more.sites;
  to.count += more.count;
  to.bytes += more.bytes;
  to.bytes_per_second += more.bytes_per_second;
  to.count_per_second += more.count_per_second;
}

void set_limits(DiffPair& pair, model::Kind kind, const Report& older, const Report& newer) {
  const Sides before = sides_of(pair.older, pair.newer, older, kind);
  const Sides after = sides_of(pair.newer, pair.older, newer, kind);
  const double unseen_before = unseen_factor(older, kind);
  const double unseen_after = unseen_factor(newer, kind);
  if (before.exact && after.exact && unseen_before <= 1 && unseen_after <= 1) return;
  // A site did in the pauses something between nothing and what it did else, in both recordings
  // alike: the difference lies between that of what was seen and that of all there may be.
  const auto limits = [&](const Between& from, const Between& to) {
    return either(limits_of_difference(from, to),
                  limits_of_difference(scaled(from, unseen_before), scaled(to, unseen_after)));
  };
  pair.count_limits = limits(before.count, after.count);
  pair.bytes_limits = limits(before.bytes, after.bytes);
}

bool is_within_limits(const DiffPair& pair, model::Kind kind) {
  if (!pair.count_limits || !pair.bytes_limits) return false;
  const bool by_bytes = !model::is_postgres(kind) && pair.bytes_difference() != 0;
  return holds_zero(by_bytes ? *pair.bytes_limits : *pair.count_limits);
}

}  // namespace leaktrace::analyze
