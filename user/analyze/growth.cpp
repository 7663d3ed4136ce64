// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/growth.h"

#include <algorithm>
#include <cmath>

namespace leaktrace::analyze {
namespace {

double rate(std::uint64_t from, std::uint64_t to, double seconds) {
  if (seconds <= 0) return 0;
  return (static_cast<double>(to) - static_cast<double>(from)) / seconds;
}

}  // namespace

double Change::bytes_per_second() const {
  return rate(from_bytes, to_bytes, seconds);
}
double Change::count_per_second() const {
  return rate(from_count, to_count, seconds);
}

RateLimits rate_limits(const Change& change, const std::optional<Limits>& now, double observed) {
  RateLimits limits{change.bytes_per_second(), change.bytes_per_second()};
  if (change.seconds <= 0) return limits;
  if (now) {
    const auto from = static_cast<double>(change.from_bytes);
    const auto to = static_cast<double>(change.to_bytes);
    const double both = std::sqrt(1 + (to > 0 ? from / to : 0)) / change.seconds;
    limits.low -= both * std::max(to - static_cast<double>(now->low), 0.0);
    limits.high += both * std::max(static_cast<double>(now->high) - to, 0.0);
  }
  if (observed <= 0) return limits;
  if (limits.low < 0) limits.low /= observed;
  if (limits.high > 0) limits.high /= observed;
  return limits;
}

Change change_of(const model::Site& site, const Period& period) {
  Change change;
  change.to_count = site.counters.outstanding_count();
  change.to_bytes = site.counters.outstanding_bytes();
  if (period.end_ns <= period.first_ns) return change;
  change.seconds = static_cast<double>(period.end_ns - period.first_ns) / 1e9;
  if (!site.history.empty() && site.history.first_ns() <= period.first_ns) {
    change.from_count = site.history.first_count();
    change.from_bytes = site.history.first_bytes();
  }
  return change;
}

}  // namespace leaktrace::analyze
