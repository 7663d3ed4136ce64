// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "user/analyze/words.h"

namespace leaktrace::analyze {
namespace {

double rate(std::uint64_t from, std::uint64_t to, double seconds) {
  if (seconds <= 0) return 0;
  return (static_cast<double>(to) - static_cast<double>(from)) / seconds;
}

std::string direction(std::uint64_t from, std::uint64_t to) {
  return from < to ? "rose" : "fell";
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
  const auto& points = site.series.points();
  if (!points.empty() && points.front().at_ns <= period.first_ns) {
    change.from_count = points.front().count;
    change.from_bytes = points.front().bytes;
  }
  return change;
}

std::string describe(const Change& change) {
  const std::string bytes = human_bytes(change.to_bytes);
  if (change.seconds <= 0) {
    return fmt::format(
        "outstanding is {} ({} in number); it was read once, so no change can be told", bytes,
        change.to_count);
  }
  const std::string time = human_seconds(change.seconds);
  if (change.from_bytes != change.to_bytes) {
    return fmt::format("outstanding {} from {} to {} in {}",
                       direction(change.from_bytes, change.to_bytes),
                       human_bytes(change.from_bytes), bytes, time);
  }
  if (change.from_count != change.to_count) {
    return fmt::format("outstanding stayed at {} and {} in number from {} to {} in {}", bytes,
                       direction(change.from_count, change.to_count), change.from_count,
                       change.to_count, time);
  }
  return fmt::format("outstanding is {}, as it was {} before", bytes, time);
}

}  // namespace leaktrace::analyze
