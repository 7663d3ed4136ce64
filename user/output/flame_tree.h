// SPDX-License-Identifier: Apache-2.0
// A report's stacks as folded lines and flame graphs see them: outermost first, and merged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "user/analyze/diff.h"
#include "user/analyze/report.h"

namespace leaktrace::output {

struct FlameFrame {
  std::string name;    ///< printable, never empty
  std::string module;  ///< base name, printable; empty for frames that are no code
  std::string source;  ///< "file:line", printable; empty when unknown
};

/// The frames of a site, outermost first: "comm-pid", a frame that says so when the stack is cut
/// or missing, then the stack with inlined frames.
[[nodiscard]] std::vector<FlameFrame> flame_path(const analyze::ReportSite& site);

/// The same of a site of two recordings: the process has no number there, and mappings stand apart
/// from the heap.
[[nodiscard]] std::vector<FlameFrame> flame_path(const analyze::DiffSite& site);

/// A path as one field of a folded line: "outer;…;inner". Readers split at ';' and take what
/// follows the last blank for the weight, so blanks within are safe, and a ';' becomes a ':'.
[[nodiscard]] std::string folded_stack(const std::vector<FlameFrame>& path);

/// The outstanding bytes; for a site that holds only blocks of zero bytes, their number.
[[nodiscard]] std::uint64_t flame_weight(const analyze::ReportSite& site);

/// The weights of a site in both recordings, by what is weighed in either.
struct FlameWeights {
  std::uint64_t older = 0;
  std::uint64_t newer = 0;
};
[[nodiscard]] FlameWeights flame_weights(const analyze::DiffSite& site);

/// Of one site or of several. In the tree of a difference, bytes and count are those of the newer
/// recording, and the weight is that of the recording in which the site has more.
struct FlameAmounts {
  std::uint64_t weight = 0;
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  std::uint64_t older_bytes = 0;
  std::uint64_t older_count = 0;
  std::int64_t change = 0;  ///< in weights; of sites that are not the same within sampling

  void add(const FlameAmounts& more);
};

/// Stacks that begin alike, merged. A node's numbers include those of its children.
struct FlameNode : FlameAmounts {
  FlameFrame frame;
  std::vector<FlameNode> children;  ///< by name and module
};

/// The tree of all sites under one root, "all". Frames merge by name and module: the same function
/// called from two lines is one node, which then names no line.
[[nodiscard]] FlameNode flame_tree(const analyze::Report& report);
[[nodiscard]] FlameNode flame_tree(const analyze::Diff& diff);

}  // namespace leaktrace::output
