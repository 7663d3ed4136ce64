// SPDX-License-Identifier: Apache-2.0
// The writers behind the table of formats, one a file.
#pragma once

#include <string>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// For a person at a terminal: at most 100 columns, no control characters.
[[nodiscard]] std::string write_text(const analyze::Report& report);

/// The stable contract (design, section 8): valid UTF-8, whatever the names hold.
[[nodiscard]] std::string write_json(const analyze::Report& report);

/// Folded stacks: "comm-pid;outer;…;inner weight", one line a stack, sorted. The weight is the
/// outstanding bytes; a stack that holds only blocks of zero bytes weighs one a block, so that it
/// is not lost to tools that drop lines without weight. PostgreSQL's kinds,
/// "comm-pid;[pg.cursor];…", weigh one each.
[[nodiscard]] std::string write_folded(const analyze::Report& report);

/// An interactive flame graph in one SVG file that loads nothing from anywhere. Widths are the
/// weights of write_folded.
[[nodiscard]] std::string write_flame_graph(const analyze::Report& report);

}  // namespace leaktrace::output
