// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <set>

#include "user/analyze/words.h"
#include "user/output/estimates.h"
#include "user/output/flame_picture.h"
#include "user/output/flame_tree.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_parts.h"
#include "user/output/text_suppressions.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

/// FNV-1a: the same colour for the same name in every graph, on every machine.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ULL;
  for (unsigned char c : text) value = (value ^ c) * 0x100000001b3ULL;
  return value ^ (value >> 32);
}

/// Frames of one module share a hue; their functions vary it.
struct Colour {
  unsigned hue = 0;    ///< one of 12
  unsigned shade = 0;  ///< one of 6
  auto operator<=>(const Colour&) const = default;
};

Colour colour_of(const FlameFrame& frame) {
  return {static_cast<unsigned>(hash(frame.module) % 12),
          static_cast<unsigned>(hash(frame.name) % 6)};
}

/// Colours by module and function, and amounts with their share of all.
class ReportPaint final : public FlamePaint {
 public:
  explicit ReportPaint(std::uint64_t all_bytes) : bytes_(all_bytes) {}

  [[nodiscard]] std::string numbers(const FlameAmounts& amounts) const override;
  [[nodiscard]] std::string colour(const FlameNode& node) override;
  [[nodiscard]] std::string style() const override;

 private:
  std::uint64_t bytes_;
  std::set<Colour> colours_;  ///< that were used
};

std::string ReportPaint::numbers(const FlameAmounts& amounts) const {
  const double share =
      bytes_ == 0 ? 0 : 100 * static_cast<double>(amounts.bytes) / static_cast<double>(bytes_);
  return fmt::format("{} in {} {}, {:.2f} % of all", analyze::human_bytes(amounts.bytes),
                     amounts.count, amounts.count == 1 ? "resource" : "resources", share);
}

std::string ReportPaint::colour(const FlameNode& node) {
  if (node.frame.module.empty()) return "n";
  const Colour known = colour_of(node.frame);
  colours_.insert(known);
  return fmt::format("c{}-{}", known.hue, known.shade);
}

std::string ReportPaint::style() const {
  std::string light;
  std::string dark;
  for (const Colour& colour : colours_) {
    const unsigned hue = (colour.hue * 30 + colour.shade * 4) % 360;
    light += fmt::format(".lt .c{}-{} {{ fill: hsl({}, 68%, {}%); }}\n", colour.hue, colour.shade,
                         hue, 72 + colour.shade * 2);
    dark += fmt::format("  .lt .c{}-{} {{ fill: hsl({}, 38%, {}%); }}\n", colour.hue, colour.shade,
                        hue, 26 + colour.shade * 2);
  }
  return light + "@media (prefers-color-scheme: dark) {\n" + dark + "}\n";
}

std::string totals_line(const analyze::Report& report) {
  const std::string limits =
      report.all_estimate ? fmt::format(" ({})", byte_limits(report.all_estimate->bytes)) : "";
  return fmt::format("{}{} outstanding in {} {} at {} call {} · {} from {}",
                     analyze::human_bytes(report.all_outstanding_bytes), limits,
                     report.all_outstanding_count,
                     report.all_outstanding_count == 1 ? "resource" : "resources", report.all_sites,
                     report.all_sites == 1 ? "site" : "sites",
                     analyze::human_seconds(report.seconds), utc_time(report.start_unix_ns));
}

std::string title(const analyze::Report& report) {
  return fmt::format("leaktrace: outstanding bytes {}of {}",
                     has_estimates(report) ? "(estimates) " : "", target_words(report, 3));
}

std::string mode_line(const analyze::Report& report) {
  std::string words = short_mode_words(report);
  if (report.growing_sites > 0) words += " · " + growing_words(report);
  if (report.sites.size() + report.suppressed_sites < report.all_sites) {
    words += fmt::format(" · the {} largest sites drawn", report.sites.size());
  }
  if (const std::string left_out = suppressed_words(report); !left_out.empty()) {
    words += " · " + left_out;
  }
  if (!report.filters.empty()) words += " · " + report.filters;
  if (report.cut_off) words += " · the recording is cut off";
  if (const std::string unseen = not_seen_words(report); !unseen.empty()) words += " · " + unseen;
  words += " · " + loss_words(report);
  return words;
}

}  // namespace

std::string write_flame_graph(const analyze::Report& report) {
  const FlameNode tree = flame_tree(report);
  ReportPaint paint(tree.bytes);
  return flame_picture(
      tree, paint,
      {.title = title(report),
       .totals = totals_line(report),
       .mode = mode_line(report),
       .attributes = fmt::format(" data-bytes=\"{}\" data-count=\"{}\"", tree.bytes, tree.count)});
}

}  // namespace leaktrace::output
