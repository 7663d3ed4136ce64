// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <optional>

#include "user/base/result.h"
#include "user/tracer/engine.h"
#include "user/tracer/target_budget.h"

namespace leaktrace::tracer {

/// What a hit costs here. The probes that it was measured with are taken away in the background;
/// destroying this waits for that (a tenth of a second after the calibration).
struct Calibration {
  HitCosts costs;
  std::future<void> detaching;
};

/// Measures what one hit of a probe costs on this machine, by a child that calls small functions
/// of its own, with and without probes of the kind that the trace will use, and is ended for it.
/// The programs on them do nothing: it is the cost of the trap. Takes some 50 ms, most of it the
/// child's loops.
[[nodiscard]] Result<Calibration> calibrate(ProbeMode mode);

/// Where in the file of this program (/proc/self/exe) a function begins that nobody calls: for
/// probes that are to be hit by nobody. Nothing when that cannot be read.
[[nodiscard]] std::optional<unsigned long> uncalled_function();

/// What is taken when nothing could be measured, rather too much than too little: as on a virtual
/// machine, where traps are dear.
[[nodiscard]] HitCosts assumed_hit_costs();

}  // namespace leaktrace::tracer
