// SPDX-License-Identifier: Apache-2.0
#include "user/output/flame_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "user/analyze/label.h"
#include "user/base/printable.h"
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

/// The child for a frame, made when there is none yet, in its place in the order.
FlameNode& child_for(FlameNode& parent, FlameFrame frame) {
  const auto key = [](const FlameFrame& f) { return std::tie(f.name, f.module); };
  const auto at = std::lower_bound(parent.children.begin(), parent.children.end(), frame,
                                   [&](const FlameNode& child, const FlameFrame& wanted) {
                                     return key(child.frame) < key(wanted);
                                   });
  if (at == parent.children.end() || key(at->frame) != key(frame)) {
    FlameNode child;
    child.frame = std::move(frame);
    return *parent.children.insert(at, std::move(child));
  }
  if (at->frame.source != frame.source) at->frame.source.clear();
  return *at;
}

void add_site(FlameNode& root, std::vector<FlameFrame> path, const FlameAmounts& amounts) {
  root.add(amounts);
  FlameNode* node = &root;
  for (FlameFrame& frame : path) {
    node = &child_for(*node, std::move(frame));
    node->add(amounts);
  }
}

FlameNode new_root() {
  FlameNode root;
  root.frame.name = "all";
  return root;
}

/// A frame that is no code.
FlameFrame word_frame(std::string name) {
  return {std::move(name), {}, {}};
}

std::vector<FlameFrame> path_of(const analyze::ReportSite& site, std::string process,
                                bool names_kind) {
  std::vector<FlameFrame> path;
  path.push_back(word_frame(std::move(process)));
  if (names_kind) path.push_back(word_frame(fmt::format("[{}]", model::kind_name(site.kind))));
  if (const std::string cut = stack_cut_words(site); !cut.empty()) {
    path.push_back(word_frame(fmt::format("[{}]", cut)));
  }
  for (auto frame = site.stack.rbegin(); frame != site.stack.rend(); ++frame) {
    path.push_back(code_frame(*frame));
  }
  return path;
}

/// A site that has bytes in either recording is weighed, the others are counted.
std::uint64_t weight_of(model::Kind kind, bool has_bytes, std::uint64_t count,
                        std::uint64_t bytes) {
  return model::is_postgres(kind) || !has_bytes ? count : bytes;
}

FlameAmounts amounts_of(const analyze::ReportSite& site) {
  FlameAmounts amounts;
  amounts.weight = flame_weight(site);
  if (!model::is_postgres(site.kind)) amounts.bytes = site.outstanding_bytes;
  amounts.count = site.outstanding_count;
  return amounts;
}

FlameAmounts amounts_of(const analyze::DiffSite& site) {
  const FlameWeights weights = flame_weights(site);
  FlameAmounts amounts;
  amounts.weight = std::max(weights.older, weights.newer);
  if (!model::is_postgres(site.site.kind)) {
    amounts.bytes = site.amounts.newer.bytes;
    amounts.older_bytes = site.amounts.older.bytes;
  }
  amounts.count = site.amounts.newer.count;
  amounts.older_count = site.amounts.older.count;
  if (!site.within_sampling) amounts.change = analyze::difference(weights.older, weights.newer);
  return amounts;
}

}  // namespace

void FlameAmounts::add(const FlameAmounts& more) {
  weight += more.weight;
  bytes += more.bytes;
  count += more.count;
  older_bytes += more.older_bytes;
  older_count += more.older_count;
  change = analyze::saturating_sum(change, more.change);
}

std::vector<FlameFrame> flame_path(const analyze::ReportSite& site) {
  // What is counted stands apart from what is weighed.
  return path_of(
      site,
      site.pid == 0 ? "unknown process" : fmt::format("{}-{}", printable(site.comm), site.pid),
      model::is_postgres(site.kind));
}

std::vector<FlameFrame> flame_path(const analyze::DiffSite& site) {
  return path_of(site.site, site.site.pid == 0 ? "unknown process" : printable(site.site.comm),
                 site.site.kind != model::Kind::heap);
}

std::string folded_stack(const std::vector<FlameFrame>& path) {
  std::string line;
  for (const FlameFrame& frame : path) {
    std::string field = frame.name;
    std::ranges::replace(field, ';', ':');
    if (!line.empty()) line += ';';
    line += field;
  }
  return line;
}

std::uint64_t flame_weight(const analyze::ReportSite& site) {
  return weight_of(site.kind, site.outstanding_bytes > 0, site.outstanding_count,
                   site.outstanding_bytes);
}

FlameWeights flame_weights(const analyze::DiffSite& site) {
  const analyze::DiffAmount& older = site.amounts.older;
  const analyze::DiffAmount& newer = site.amounts.newer;
  const bool has_bytes = older.bytes > 0 || newer.bytes > 0;
  return {weight_of(site.site.kind, has_bytes, older.count, older.bytes),
          weight_of(site.site.kind, has_bytes, newer.count, newer.bytes)};
}

FlameNode flame_tree(const analyze::Report& report) {
  FlameNode root = new_root();
  for (const analyze::ReportSite& site : report.sites) {
    add_site(root, flame_path(site), amounts_of(site));
  }
  return root;
}

FlameNode flame_tree(const analyze::Diff& diff) {
  FlameNode root = new_root();
  for (const analyze::DiffSite& site : diff.sites) {
    add_site(root, flame_path(site), amounts_of(site));
  }
  return root;
}

}  // namespace leaktrace::output
