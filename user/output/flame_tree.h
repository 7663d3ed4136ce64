// SPDX-License-Identifier: Apache-2.0
// A report's stacks as folded lines and flame graphs see them: outermost first, and merged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

/// The outstanding bytes; for a site that holds only blocks of zero bytes, their number.
[[nodiscard]] std::uint64_t flame_weight(const analyze::ReportSite& site);

/// Stacks that begin alike, merged. A node's numbers include those of its children.
struct FlameNode {
  FlameFrame frame;
  std::uint64_t weight = 0;
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  std::vector<FlameNode> children;  ///< by name and module
};

/// The tree of all sites under one root, "all". Frames merge by name and module: the same function
/// called from two lines is one node, which then names no line.
[[nodiscard]] FlameNode flame_tree(const analyze::Report& report);

}  // namespace leaktrace::output
