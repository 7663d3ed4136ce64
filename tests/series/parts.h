// SPDX-License-Identifier: Apache-2.0
// What several patterns are made of.
#pragma once

#include <cstdint>

#include "tests/series/patterns.h"

namespace leaktrace::series {

inline constexpr double kHour = 3600;
inline constexpr double kDay = 24 * kHour;

/// Load of a service over a day, 0 to 1: low at night, two humps.
[[nodiscard]] double daily(double seconds);

/// Blocks that the pattern has leaked so far; `keep` adds some. They are a mark, no amount.
inline std::uint64_t kept(const Site& site) {
  return site.kept;
}
inline void keep(Site& site, std::uint64_t count) {
  site.kept += count;
}

/// A site whose blocks live for an exponential time, and a leak beside them.
struct Observed {
  double leak = 0;      ///< bytes a second
  double live = 0;      ///< bytes outstanding in the steady state
  double lifetime = 1;  ///< seconds, on average
  double interval = 0;  ///< bytes from sample to sample, when sampled
  double duty = 1;      ///< share of the time that is observed, when duty-cycled
};

/// As estimated from samples of blocks of 1 KiB.
[[nodiscard]] Step sampled(const Observed& what);

/// As seen when probes are attached for one second in 1 / duty: blocks acquired otherwise are not
/// seen; of those seen, some are presumed released, by a hazard that is itself estimated and so
/// errs, in each series in one direction, by what the variance says.
[[nodiscard]] Step duty_cycled(const Observed& what);

}  // namespace leaktrace::series
