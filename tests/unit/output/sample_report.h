// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/analyze/report.h"

namespace leaktrace::output {

/// A report that holds everything that is hard to print: markup, bytes that are no UTF-8, terminal
/// escapes, long templates, a stack of 127 frames, blocks of zero bytes, no names, no stack,
/// every loss, processes that ended.
[[nodiscard]] analyze::Report awkward_report();

/// A finished trace that found nothing.
[[nodiscard]] analyze::Report empty_report();

/// One process, one site: what most reports look like.
[[nodiscard]] analyze::Report plain_report();

/// A client of PostgreSQL: cursors, statements and results beside a block of the heap, connections
/// in every state, names and SQL that are hard to print.
[[nodiscard]] analyze::Report postgres_report();

/// Memory of a process that grew, explained in part, and when it reaches its limit.
[[nodiscard]] analyze::ReportMemory sample_memory();

/// Sampled all the time: a site with many samples, one with a single one, and a mapping that was
/// counted exactly.
[[nodiscard]] analyze::Report sampled_report();

/// Sampled, and attached for part of the time only to keep the budget.
[[nodiscard]] analyze::Report paused_report();

}  // namespace leaktrace::output
