// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/persistence.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "user/analyze/trend.h"

namespace leaktrace::analyze {
namespace {

// All of these were chosen on the even seeds of the labelled set (VERDICT.md).
constexpr std::size_t kLeastWindows = 7;
constexpr double kMostShare = 0.2;   ///< of the growth that one window may bring
constexpr double kTimesMean = 3;     ///< that an increment may count in the test of drift
constexpr double kOverFall = 1.5;    ///< growth over the deepest fall
constexpr double kWeakest = 0.2;     ///< growth of the weakest third over the mean
constexpr double kLeastAhead = 1.0;  ///< growth yet to come over growth so far
constexpr double kMostlyKept = 0.5;  ///< of what was acquired: blocks do not come and go
constexpr double kAllKept = 0.9;     ///< so much of it: they only come
constexpr double kMostLoad = 0.6;    ///< of the growth that a risen rate of acquiring explains
constexpr std::size_t kLeastOctaves = 7;
constexpr double kOctaveRatio = 1.5;  ///< by which a floor must rise when time doubles
constexpr double kOctaveChance = 0.31;
constexpr double kSlowed = 0.25;   ///< newer half over older half: no doubt that it slows
constexpr double kSlack = 2;       ///< standard errors that the slowing down may be due to
constexpr double kPatience = 2.5;  ///< stillness over the longest rest before

/// Position in [0, 1] of each window's end on a clock that may run with time or with work.
using Clock = std::vector<double>;

void run_clock(std::span<const double> ticks, Clock& clock) {
  clock.assign(1, 0.0);
  double sum = 0;
  for (const double tick : ticks) clock.push_back(sum += tick);
  for (double& at : clock) at = sum > 0 ? at / sum : 0;
}

/// Growth between two positions of a clock, of increments spread evenly over their windows.
double growth_between(std::span<const double> increments, const Clock& clock, double from,
                      double to) {
  double sum = 0;
  for (std::size_t i = 0; i < increments.size(); ++i) {
    const double width = clock[i + 1] - clock[i];
    if (width <= 0) {
      if (clock[i] >= from && clock[i] < to) sum += increments[i];
      continue;
    }
    const double overlap = std::min(to, clock[i + 1]) - std::max(from, clock[i]);
    if (overlap > 0) sum += increments[i] * overlap / width;
  }
  return sum;
}

double weakest_third(std::span<const double> increments, const Clock& clock, double growth) {
  double weakest = growth;
  for (int third = 0; third < 3; ++third) {
    weakest = std::min(weakest, growth_between(increments, clock, third / 3.0, (third + 1) / 3.0));
  }
  return 3 * weakest / growth;
}

/// Mean of log t for t from `from` to `to`, both in [0, 1].
double mean_log(double from, double to) {
  const auto integral = [](double t) { return t > 0 ? t * std::log(t) - t : 0; };
  return to > from ? (integral(to) - integral(from)) / (to - from) : std::log(std::max(to, 1e-9));
}

/// Is growth, of what came after the first eighth, nearer to a rate of 1/t than to a steady one?
bool is_early(std::span<const double> increments, const Clock& clock) {
  constexpr double kFirst = 1.0 / 8;
  double sum = 0;
  double weighted = 0;
  for (std::size_t i = 0; i < increments.size(); ++i) {
    const double from = std::max(clock[i], kFirst);
    const double to = clock[i + 1];
    if (to <= kFirst) continue;
    const double width = to - clock[i];
    const double growth = width > 0 ? increments[i] * (to - from) / width : increments[i];
    sum += growth;
    weighted += growth * mean_log(from, to);
  }
  if (sum <= 0) return false;
  const double steady = mean_log(kFirst, 1);
  const double fading = std::log(kFirst) / 2;
  return weighted / sum < (steady + fading) / 2;
}

/// How much is yet to come, if what slows down goes on slowing down as exponentials do; nothing
/// when it does not slow down.
///
/// Of an exponential approach whose growth is a in the first half and b in the second, b²/(a - b)
/// is yet to come. What noise may have added to a/b is taken from it.
std::optional<double> yet_to_come(std::span<const double> increments, const Clock& clock) {
  const double first = growth_between(increments, clock, 0, 0.5);
  const double second = growth_between(increments, clock, 0.5, 1);
  if (second <= kSlowed * first) return 0;
  if (first <= second) return std::nullopt;
  const double error =
      std::sqrt(variance_of_neighbours(increments) * static_cast<double>(increments.size()) / 2);
  const double slack = kSlack * error * std::hypot(1 / first, 1 / second);
  const double slowing = std::log(first / second) - slack;
  if (slowing <= 0) return std::nullopt;
  return second / std::expm1(slowing);
}

/// Has the floor been without a new record for much longer than ever before?
bool has_stopped(std::span<const double> floor) {
  std::size_t longest = 1;
  std::size_t rest = 0;
  double record = floor.front();
  for (std::size_t i = 1; i < floor.size(); ++i) {
    ++rest;
    if (floor[i] <= record) continue;
    record = floor[i];
    longest = std::max(longest, rest);
    rest = 0;
  }
  return static_cast<double>(rest) > kPatience * static_cast<double>(longest);
}

/// That sampling and blind periods alone make a growth.
double chance_of(double growth, double variance) {
  return 0.5 * std::erfc(growth / std::sqrt(variance) / std::sqrt(2.0));
}

/// Is such a part of what was acquired since `start` still there?
bool is_kept(const Track& track, std::size_t start, double part) {
  double acquired = 0;
  for (std::size_t i = start + 1; i < track.size(); ++i) acquired += track.acquired[i];
  return track.count.back() - track.count[start] > part * acquired;
}

/// Little's law: what is outstanding is the rate of acquiring times how long blocks stay. Where
/// blocks come and go and the rate has risen, that alone raises the floor in proportion.
bool is_load(const Track& track, std::size_t start) {
  const std::size_t part = (track.size() - start) / 3;
  const std::size_t newest = track.size() - part;
  const auto sum = [&](std::span<const double> values, std::size_t from) {
    double total = 0;
    for (const double value : values.subspan(from, part)) total += value;
    return total;
  };
  const double seconds_before = sum(track.seconds, start + 1);
  const double seconds_after = sum(track.seconds, newest);
  if (seconds_before <= 0 || seconds_after <= 0) return false;
  const double rate_before = sum(track.acquired, start + 1) / seconds_before;
  const double rate_after = sum(track.acquired, newest) / seconds_after;
  const double before = sum(track.floor, start + 1);
  const double after = sum(track.floor, newest);
  if (rate_before <= 0 || rate_after <= rate_before || after <= before) return false;
  return before * (rate_after / rate_before - 1) > kMostLoad * (after - before);
}

Objection object(const Track& track, std::size_t start, const Context& context,
                 std::span<const double> increments, std::span<const double> clipped,
                 const Rise& rise) {
  const std::span<const double> floor = track.floor;
  const double gained = rise.to - rise.from;
  if (rise.growth <= 0 || gained <= 0) return Objection::no_rise;
  const double fall = std::max(deepest_fall(floor), context.fall_before);
  if (rise.growth < kOverFall * fall) return Objection::fell_back;
  if (rise.growth < context.least_growth) return Objection::not_record;
  double before = context.most_before;
  for (std::size_t i = 0; i < start; ++i) before = std::max(before, floor[i]);
  if (rise.to < before) return Objection::not_record;

  thread_local Clock by_time;
  thread_local Clock by_work;
  run_clock(std::span(track.seconds).subspan(start + 1), by_time);
  run_clock(std::span(track.work).subspan(start + 1), by_work);
  const bool has_work = by_work.back() > 0;
  double weakest = weakest_third(clipped, by_time, rise.growth);
  if (has_work) weakest = std::max(weakest, weakest_third(clipped, by_work, rise.growth));
  if (weakest < kWeakest) return Objection::uneven;

  const double so_far = std::max(gained, rise.to - floor.front());
  const auto slows = [&](const Clock& clock) {
    const auto ahead = yet_to_come(increments, clock);
    return ahead && *ahead < kLeastAhead * so_far;
  };
  if (slows(by_time) && (!has_work || slows(by_work))) return Objection::slowing;

  if (has_stopped(floor.subspan(start))) return Objection::stopped;
  if (!is_kept(track, start, kMostlyKept) && is_load(track, start)) return Objection::load;
  return Objection::none;
}

}  // namespace

bool fades(const Track& track) {
  const std::size_t n = track.size();
  if (n < kLeastWindows) return false;
  thread_local std::vector<double> increments;
  increments.clear();
  // What the floor gained from a window to the next came in the former.
  for (std::size_t i = 1; i < n; ++i) increments.push_back(track.floor[i] - track.floor[i - 1]);
  if (clip_to_share(increments, kMostShare) <= 0) return false;
  thread_local Clock clock;
  run_clock(std::span(track.seconds).first(n - 1), clock);
  if (!is_early(increments, clock)) return false;
  run_clock(std::span(track.work).first(n - 1), clock);
  return clock.back() <= 0 || is_early(increments, clock);
}

Rise examine(const Track& track, std::size_t start, const Context& context) {
  Rise rise;
  if (track.size() < start + kLeastWindows) return rise;
  const std::span<const double> floor = std::span(track.floor).subspan(start);
  thread_local std::vector<double> increments;
  thread_local std::vector<double> clipped;
  thread_local std::vector<double> spare;
  increments.clear();
  for (std::size_t i = 1; i < floor.size(); ++i) {
    increments.push_back(floor[i] - floor[i - 1]);
    rise.rose += floor[i] > floor[i - 1] ? 1 : 0;
  }
  rise.windows = increments.size();
  rise.from = floor.front();
  rise.to = floor.back();
  clipped = increments;
  rise.growth = clip_to_share(clipped, kMostShare);
  spare = increments;
  clip_to_share(spare, std::max(kMostShare, kTimesMean / static_cast<double>(spare.size())));
  rise.objection = object(track, start, context, increments, clipped, rise);
  if (rise.objection != Objection::none) return rise;
  const bool only_up = is_kept(track, start, kAllKept);
  rise.p = drift(spare, only_up ? Increments::only_up : Increments::of_walk);
  if (rise.p >= context.enough) return rise;
  // What only grows has rising ranks in any case.
  if (!only_up) rise.p = std::max(rise.p, mann_kendall(floor));
  if (context.variance > 0) rise.p = std::max(rise.p, chance_of(rise.growth, context.variance));
  return rise;
}

Rise examine_doubling(const Track& track, std::span<const double> octaves, const Context& context) {
  Rise rise;
  if (track.size() < kLeastWindows || octaves.size() < kLeastOctaves + 1) return rise;
  // The newest octave is not over; its floor so far counts as far as it is above.
  std::size_t newest = octaves.size() - 1;
  if (octaves[newest] < kOctaveRatio * octaves[newest - 1]) --newest;
  std::size_t oldest = newest;
  while (oldest > 0 && octaves[oldest] >= kOctaveRatio * octaves[oldest - 1]) --oldest;
  while (oldest < newest && octaves[oldest] <= 0) ++oldest;
  rise.by_doubling = true;
  rise.rose = rise.windows = newest - oldest;
  rise.from = octaves[oldest];
  rise.to = octaves[newest];
  rise.growth = rise.to - rise.from;
  rise.objection = Objection::no_rise;
  if (rise.windows < kLeastOctaves) return rise;
  rise.p = std::pow(kOctaveChance, static_cast<double>(rise.windows));
  if (context.variance > 0) rise.p = std::max(rise.p, chance_of(rise.growth, context.variance));
  rise.objection = Objection::none;
  std::size_t steps = 0;
  for (std::size_t i = 1; i < track.size(); ++i)
    steps += track.floor[i] > track.floor[i - 1] ? 1 : 0;
  // What rises smoothly shows by windows of equal width whether it slows down.
  if (3 * steps > track.size() + 2) rise.objection = Objection::uneven;
  if (deepest_fall(track.floor) > 0) rise.objection = Objection::fell_back;
  if (has_stopped(track.floor)) rise.objection = Objection::stopped;
  return rise;
}

}  // namespace leaktrace::analyze
