// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "user/analyze/words.h"
#include "user/output/diff_words.h"
#include "user/output/diff_writers.h"
#include "user/output/estimates.h"
#include "user/output/flame_picture.h"
#include "user/output/flame_tree.h"
#include "user/output/reasons.h"

namespace leaktrace::output {
namespace {

constexpr int kShades = 5;
constexpr int kRed = 4;  ///< hues
constexpr int kBlue = 212;

/// Red where a frame grew, blue where it shrank, in shades by the part of its width that changed.
class DiffPaint final : public FlamePaint {
 public:
  [[nodiscard]] std::string numbers(const FlameAmounts& amounts) const override;
  [[nodiscard]] std::string colour(const FlameNode& node) override;
  [[nodiscard]] std::string style() const override;
};

std::string DiffPaint::numbers(const FlameAmounts& amounts) const {
  return fmt::format(
      "{}: from {} in {} to {} in {}",
      analyze::human_byte_difference(analyze::difference(amounts.older_bytes, amounts.bytes)),
      analyze::human_bytes(amounts.older_bytes), amounts.older_count,
      analyze::human_bytes(amounts.bytes), amounts.count);
}

std::string DiffPaint::colour(const FlameNode& node) {
  if (node.change == 0 || node.weight == 0) return "n";
  const double part = std::abs(static_cast<double>(node.change)) / static_cast<double>(node.weight);
  const int shade = std::clamp(static_cast<int>(std::ceil(part * kShades)), 1, kShades);
  return fmt::format("{}{}", node.change > 0 ? "grew" : "shrank", shade);
}

std::string DiffPaint::style() const {
  std::string light;
  std::string dark;
  for (const auto& [name, hue] : {std::pair("grew", kRed), std::pair("shrank", kBlue)}) {
    for (int shade = 1; shade <= kShades; ++shade) {
      light += fmt::format(".lt .{}{} {{ fill: hsl({}, 80%, {}%); }}\n", name, shade, hue,
                           94 - shade * 5);
      dark += fmt::format("  .lt .{}{} {{ fill: hsl({}, 55%, {}%); }}\n", name, shade, hue,
                          16 + shade * 5);
    }
  }
  return light + "@media (prefers-color-scheme: dark) {\n" + dark + "}\n";
}

std::string title(const analyze::Diff& diff) {
  const bool estimates = has_estimates(diff.older.report) || has_estimates(diff.newer.report);
  return fmt::format("leaktrace: difference of outstanding bytes {}of {} and {}",
                     estimates ? "(estimates) " : "", target_words(diff.older.report, 3),
                     target_words(diff.newer.report, 3));
}

std::string totals_line(const FlameNode& tree, const analyze::Diff& diff) {
  return fmt::format(
      "{}: from {} in {} resources ({}) to {} in {} resources ({}) · red grew, blue shrank, grey "
      "is "
      "the same{}",
      analyze::human_byte_difference(analyze::difference(tree.older_bytes, tree.bytes)),
      analyze::human_bytes(tree.older_bytes), tree.older_count,
      analyze::human_seconds(diff.older.report.seconds), analyze::human_bytes(tree.bytes),
      tree.count, analyze::human_seconds(diff.newer.report.seconds),
      has_limits(diff) ? " or within sampling" : "");
}

std::string recording_words(std::string_view which, const analyze::Report& report) {
  std::string words =
      fmt::format("{}: {}, {}", which, short_mode_words(report), loss_words(report));
  if (const std::string unseen = not_seen_words(report); !unseen.empty()) words += ", " + unseen;
  if (!report.filters.empty()) words += ", " + report.filters;
  if (report.cut_off) words += ", cut off";
  return words;
}

std::string mode_line(const analyze::Diff& diff) {
  std::string words =
      recording_words("old", diff.older.report) + " · " + recording_words("new", diff.newer.report);
  if (const std::uint64_t all = all_sites(diff); diff.sites.size() < all) {
    words += fmt::format(" · {} of {} sites drawn", diff.sites.size(), all);
  }
  return words;
}

}  // namespace

std::string write_diff_flame_graph(const analyze::Diff& diff) {
  const FlameNode tree = flame_tree(diff);
  DiffPaint paint;
  return flame_picture(
      tree, paint,
      {.title = title(diff),
       .totals = totals_line(tree, diff),
       .mode = mode_line(diff),
       .attributes = fmt::format(" data-bytes=\"{}\" data-count=\"{}\" data-old-bytes=\"{}\" "
                                 "data-old-count=\"{}\"",
                                 tree.bytes, tree.count, tree.older_bytes, tree.older_count)});
}

}  // namespace leaktrace::output
