// SPDX-License-Identifier: Apache-2.0
// The writers of differences behind the table of formats, one a file.
#pragma once

#include <string>

#include "user/analyze/diff.h"

namespace leaktrace::output {

/// For a person at a terminal: at most 100 columns, no control characters.
[[nodiscard]] std::string write_diff_text(const analyze::Diff& diff);

/// The stable contract (tests/testdata/output/diff.schema.json): valid UTF-8, whatever the names
/// hold.
[[nodiscard]] std::string write_diff_json(const analyze::Diff& diff);

/// "comm;outer;…;inner OLD NEW", one line a stack, sorted, as tools for differential flame graphs
/// take it. The weights are those of write_folded; all but the heap stand under a frame that names
/// their kind.
[[nodiscard]] std::string write_diff_folded(const analyze::Diff& diff);

/// An interactive flame graph: red frames grew, blue ones shrank, the more the stronger; a frame is
/// as wide as what its sites weigh in the recording in which they weigh more.
[[nodiscard]] std::string write_diff_flame_graph(const analyze::Diff& diff);

}  // namespace leaktrace::output
