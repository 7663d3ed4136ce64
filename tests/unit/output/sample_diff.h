// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/analyze/diff.h"

namespace leaktrace::output {

/// Two runs of one program, the second ten times as long: a site that grew, one that shrank, one
/// that appeared, one that is gone and one that is the same.
[[nodiscard]] analyze::Diff plain_diff();

/// Two recordings that hold nothing.
[[nodiscard]] analyze::Diff empty_diff();

/// Both sampled: one site grew beyond doubt, of others nobody can tell; a mapping was counted.
[[nodiscard]] analyze::Diff sampled_diff();

/// Of a rebuilt program with names that are hard to print, losses of every kind, and an old
/// recording that is cut off.
[[nodiscard]] analyze::Diff awkward_diff();

/// Clients of PostgreSQL.
[[nodiscard]] analyze::Diff postgres_diff();

}  // namespace leaktrace::output
