// SPDX-License-Identifier: Apache-2.0
// Tests and estimates of trend in short series (up to some dozens of values). None of them gives a
// value that is not finite when what it is given is finite.
#pragma once

#include <span>
#include <vector>

namespace leaktrace::analyze {

/// A slope and its 95 % interval.
struct Slope {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// The median of the slopes of all pairs of points, with the interval of Sen (1968), widened for
/// autocorrelation as in mann_kendall. `scratch` is only there to save allocations. Zeros when
/// fewer than two points differ in x.
[[nodiscard]] Slope theil_sen(std::span<const double> x, std::span<const double> y,
                              std::vector<double>& scratch);

/// The chance that a series without trend looks as much like a rising one: Mann's (1945) and
/// Kendall's rank test, one-sided. Ties are corrected for, and autocorrelation after Hamed and Rao
/// (1998): from the ranks that are left when the Theil-Sen line is taken away, where it makes the
/// test more cautious. Exact for short series without ties. 1 for fewer than 4 values.
[[nodiscard]] double mann_kendall(std::span<const double> y);

/// What the increments of a series are of.
enum class Increments {
  only_up,  ///< it only grows: they are amounts that arrived
  of_walk,  ///< it comes and goes
};

/// The chance that increments without drift add up to as much: a t-test of their mean.
///
/// Of a series that comes and goes, against the long-run variance, which is what tells a trend from
/// a random walk (both have rising ranks). It is that of Newey and West (1987), and at least the
/// plain one, changed for two things. Floors over windows of a random walk have increments whose
/// neighbours have the correlation 1/4 (Working, 1960): 1.5 times the plain one. And where
/// neighbours cancel each other, which those of a random walk hardly ever do, that is noise about a
/// trend: down to kLeastPart of the plain one.
///
/// Of one that only grows, against the variance by the differences of neighbours (von Neumann,
/// 1941), which is the same for arrivals at random, and which arrivals that become more frequent
/// leave alone.
[[nodiscard]] double drift(std::span<const double> increments, Increments kind);

/// Cuts off the largest increments so that none makes up more than `share` of their sum; growth
/// that came in fewer steps than 1/share is none. Returns the sum that is left, 0 or more.
double clip_to_share(std::span<double> increments, double share);

/// Variance by the differences of neighbours: that about a mean which changes slowly.
[[nodiscard]] double variance_of_neighbours(std::span<const double> values);

/// Upper tail of Student's distribution.
[[nodiscard]] double student_tail(double t, double degrees);

}  // namespace leaktrace::analyze
