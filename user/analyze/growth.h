// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "user/analyze/estimate.h"
#include "user/model/trace.h"

namespace leaktrace::analyze {

/// The part of a trace in which the counters of one process were read.
struct Period {
  std::uint64_t first_ns = 0;  ///< first reading that has a site of the process
  std::uint64_t end_ns = 0;    ///< newest reading, or when the process ended
};

/// How a site's outstanding resources changed over a period: the newest counters against the
/// reading at its beginning, first to last. The first reading is the base and not zero, so that
/// what a program acquires while it starts, before anyone looks, does not count as growth. A site
/// that appeared later began at zero.
struct Change {
  std::uint64_t from_count = 0;
  std::uint64_t from_bytes = 0;
  std::uint64_t to_count = 0;
  std::uint64_t to_bytes = 0;
  double seconds = 0;  ///< 0: there was one reading, and no change can be told

  [[nodiscard]] double bytes_per_second() const;
  [[nodiscard]] double count_per_second() const;
};

/// Limits of a rate, in bytes a second.
struct RateLimits {
  double low = 0;
  double high = 0;
};

/// The 95 % limits of a change's rate. `now`: the limits of the newest reading, none when it is
/// exact; the reading at the beginning is taken to be as unsure in proportion, and independent,
/// which is cautious: what was outstanding at both times cancels. `observed` (above 0, at most 1)
/// is the share of the time in which probes were attached: a site that grows may have grown in the
/// rest of it too, as fast.
[[nodiscard]] RateLimits rate_limits(const Change& change, const std::optional<Limits>& now,
                                     double observed);

[[nodiscard]] Change change_of(const model::Site& site, const Period& period);

}  // namespace leaktrace::analyze
