// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "user/analyze/view.h"

namespace leaktrace::analyze {

/// Why a rise of the floor is no growth; in the order in which it is asked.
enum class Objection {
  none,
  too_short,   ///< fewer windows than it takes
  no_rise,     ///< the floor is not higher at the end, or rose in a few steps only
  fell_back,   ///< it fell as much before as it rose
  not_record,  ///< more was outstanding before
  uneven,      ///< a third of the time, and of the work, added little
  slowing,     ///< it slows down toward a limit that is not far
  stopped,     ///< it has been still for much longer than ever between two rises
  load,        ///< it follows the rate of acquiring: blocks do not stay longer
};

/// What is asked of the floor's rise from the window `start` on; the windows before are history.
struct Rise {
  Objection objection = Objection::too_short;
  double p = 1;       ///< by chance, of this one view; 1 where there is an objection
  double growth = 0;  ///< of the floor, spikes cut off
  double from = 0;    ///< floor of the first window
  double to = 0;      ///< of the last
  std::size_t windows = 0;
  bool by_doubling = false;  ///< windows are octaves of time
  std::size_t rose = 0;      ///< windows whose floor is above that of the window before
};

struct Context {
  double variance = 0;      ///< of the newest reading, by sampling and blind periods
  double fall_before = 0;   ///< deepest fall of the floor, from elsewhere in the history
  double enough = 1;        ///< a chance above this is as good as any other: it is not reckoned out
  double least_growth = 0;  ///< what a growth must be to count
  double most_before = 0;   ///< most that was outstanding before this track begins
};

/// Does growth fade as time, and as work, goes on? `track` is all of the history.
///
/// Start-up, caches and what is compiled when it is hot grow by less and less, at a rate of about
/// 1/t, so that any late stretch of it alone looks straight. Of growth at the rate t^-g the mean of
/// log t, weighted by growth, tells g, as it does for failures of a machine that wears in (Crow,
/// 1974); the first eighth of the time is left out, so that a start-up before a leak is forgiven
/// when eight times as much has passed. Fading is a g that is nearer to 1 than to 0.
[[nodiscard]] bool fades(const Track& track);

[[nodiscard]] Rise examine(const Track& track, std::size_t start, const Context& context);

/// A rise by half or more whenever the time has doubled, in few steps and never back: of a
/// container that doubles, which no test on windows of equal width can tell from chance.
/// `octaves` are floors by octave of time, as History has them; `track` is all of the history. The
/// chance of each such octave is taken to be 0.31: that of a random walk, which stands at its
/// standard deviation, to rise by half of that while the time doubles.
[[nodiscard]] Rise examine_doubling(const Track& track, std::span<const double> octaves,
                                    const Context& context);

}  // namespace leaktrace::analyze
