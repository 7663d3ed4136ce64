// SPDX-License-Identifier: Apache-2.0
// What a trace does not see at all.
#pragma once

#include <vector>

#include "user/model/record.h"
#include "user/model/trace.h"

namespace leaktrace::analyze {

/// What whoever took the trace knew of (model::NotSeen), and what its numbers show:
///
///   no probe fired in a process that used CPU time and grew      process
///   no call of the heap was seen, and most of the growth of a
///   process is in no mapping that was seen either                allocator
///
/// The second kind is said of processes whose heap was traced, of which memory was read three times
/// or more, and which grew by so much that sampling is no reason.
[[nodiscard]] std::vector<model::NotSeen> not_seen(const model::Trace& trace);

}  // namespace leaktrace::analyze
