// SPDX-License-Identifier: Apache-2.0
// What is found of one site before all are judged together.
#pragma once

#include <array>
#include <string>

#include "user/analyze/persistence.h"
#include "user/analyze/trend.h"
#include "user/analyze/verdict.h"
#include "user/analyze/view.h"

namespace leaktrace::analyze {

/// The best that can be said for the growth of one amount.
struct Growth {
  Rise rise;
  double p = 1;        ///< by chance, all views of the amount counted; 1: never moved
  bool moved = false;  ///< the floor was not always the same
  Slope slope;         ///< of the floor, in the view of `rise`; a second
  double window_seconds = 0;
  double seconds = 0;  ///< that the view spans
};

/// How the level was over the whole history.
struct Level {
  std::size_t windows = 0;
  double seconds = 0;
  double now = 0;
  double half_low = 0;  ///< least and most in the newer half of the windows
  double half_high = 0;
  double half_gain = 0;     ///< of the floor in the newer half
  double fall = 0;          ///< deepest fall of the floor
  double range = 0;         ///< of all that was outstanding
  std::size_t still = 0;    ///< newest windows without an acquisition or a change
  double largest_step = 0;  ///< share of the growth to now that two windows brought
};

/// Of what was outstanding a while ago, the share that must still be: what is now, less all that
/// was acquired since.
struct Survival {
  double share = 0;
  double age_seconds = 0;
};

struct Findings {
  Growth bytes;
  Growth count;
  Level level;            ///< of bytes; of count when there are no bytes
  bool by_count = false;  ///< there are no bytes
  Survival survival;      ///< of blocks, in number
  double oldest_seconds = 0;
};

[[nodiscard]] Findings find(const VerdictInput& input, const VerdictOptions& options);

/// The line of evidence.
[[nodiscard]] std::string describe(const Findings& findings, const SiteVerdict& verdict,
                                   bool grows_by_count);

}  // namespace leaktrace::analyze
