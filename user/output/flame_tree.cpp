// SPDX-License-Identifier: Apache-2.0
#include "user/output/flame_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "user/analyze/label.h"
#include "user/output/printable.h"
#include "user/output/reasons.h"

namespace leaktrace::output {
namespace {

FlameFrame code_frame(const analyze::ReportFrame& frame) {
  FlameFrame out{
      printable(analyze::frame_name(frame)), printable(analyze::base_name(frame.module)), {}};
  if (!frame.source.file.empty()) {
    out.source = printable(frame.source.file);
    if (frame.source.line > 0) out.source += fmt::format(":{}", frame.source.line);
  }
  return out;
}

void add(FlameNode& node, const analyze::ReportSite& site) {
  node.weight += flame_weight(site);
  if (!model::is_postgres(site.kind)) node.bytes += site.outstanding_bytes;
  node.count += site.outstanding_count;
}

/// The child for a frame, made when there is none yet, in its place in the order.
FlameNode& child_for(FlameNode& parent, FlameFrame frame) {
  const auto key = [](const FlameFrame& f) { return std::tie(f.name, f.module); };
  const auto at = std::lower_bound(parent.children.begin(), parent.children.end(), frame,
                                   [&](const FlameNode& child, const FlameFrame& wanted) {
                                     return key(child.frame) < key(wanted);
                                   });
  if (at == parent.children.end() || key(at->frame) != key(frame)) {
    return parent.children.insert(at, FlameNode{std::move(frame), 0, 0, 0, {}})[0];
  }
  if (at->frame.source != frame.source) at->frame.source.clear();
  return *at;
}

}  // namespace

std::vector<FlameFrame> flame_path(const analyze::ReportSite& site) {
  std::vector<FlameFrame> path;
  path.push_back(
      {site.pid == 0 ? "unknown process" : fmt::format("{}-{}", printable(site.comm), site.pid),
       {},
       {}});
  // What is counted stands apart from what is weighed.
  if (model::is_postgres(site.kind)) {
    path.push_back({fmt::format("[{}]", model::kind_name(site.kind)), {}, {}});
  }
  if (const std::string cut = stack_cut_words(site); !cut.empty()) {
    path.push_back({fmt::format("[{}]", cut), {}, {}});
  }
  for (auto frame = site.stack.rbegin(); frame != site.stack.rend(); ++frame) {
    path.push_back(code_frame(*frame));
  }
  return path;
}

std::uint64_t flame_weight(const analyze::ReportSite& site) {
  if (model::is_postgres(site.kind)) return site.outstanding_count;
  return site.outstanding_bytes > 0 ? site.outstanding_bytes : site.outstanding_count;
}

FlameNode flame_tree(const analyze::Report& report) {
  FlameNode root{{"all", {}, {}}, 0, 0, 0, {}};
  for (const analyze::ReportSite& site : report.sites) {
    add(root, site);
    FlameNode* node = &root;
    for (FlameFrame& frame : flame_path(site)) {
      node = &child_for(*node, std::move(frame));
      add(*node, site);
    }
  }
  return root;
}

}  // namespace leaktrace::output
