// SPDX-License-Identifier: Apache-2.0
// How sure a difference of two amounts is that were not counted block by block.
#pragma once

#include <cstdint>

#include "user/analyze/diff.h"

namespace leaktrace::analyze {

/// Adds an amount of the same recording, with its estimate: samples are taken independently.
void add(DiffAmount& to, const DiffAmount& more);

/// Sets the limits of a pair of amounts of that kind, where either is not exact: sampled, missing
/// from a recording that samples, or observed for part of the time.
void set_limits(DiffPair& pair, model::Kind kind, const Report& older, const Report& newer);

/// Whether chance may have made the whole difference: 0 is within its limits.
[[nodiscard]] bool is_within_limits(const DiffPair& pair, model::Kind kind);

}  // namespace leaktrace::analyze
