// SPDX-License-Identifier: Apache-2.0
//
//   ┌──────────────────────────────────────────────┐
//   │ title                          search  reset │  header: stays in sight while scrolling
//   │ subtitle                                     │
//   │ what is under the pointer            matched │
//   ├──────────────────────────────────────────────┤
//   │ all                                          │  depth 0
//   ├───────────────────────────────────┬──────────┤
//   │ server-1234                       │ …        │  depth 1, each frame as wide as its weight
//
// Frames are nested <svg> elements placed in percent: they clip their own text, and the picture
// fills any width, with no script at work.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "user/analyze/words.h"
#include "user/output/estimates.h"
#include "user/output/flame_assets.h"
#include "user/output/flame_tree.h"
#include "user/output/printable.h"
#include "user/output/reasons.h"
#include "user/output/shorten.h"
#include "user/output/text_suppressions.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

constexpr double kWidth = 1200;  ///< in pixels, until the script fits it to the window
constexpr double kLeastPixels = 0.1;
constexpr double kTextPixels = 24;  ///< narrower frames have no room for text
constexpr std::size_t kHeader = 98;
constexpr std::size_t kRow = 18;
constexpr std::size_t kLongestText = 160;

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

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

/// Writes the frames of a tree, and keeps which colours and how many rows they took.
class Frames {
 public:
  explicit Frames(const FlameNode& root) : total_(root.weight), bytes_(root.bytes) {
    draw(root, 0, 0);
  }

  [[nodiscard]] const std::string& svg() const { return svg_; }
  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::string colours() const;

 private:
  void draw(const FlameNode& node, std::uint64_t start, std::size_t depth);
  void draw_small(const FlameNode& sum, std::size_t frames, std::uint64_t start, std::size_t depth);
  void box(const FlameNode& node, std::string_view classes, std::string_view colour,
           std::string_view tip, std::uint64_t start, std::size_t depth);
  [[nodiscard]] double percent(std::uint64_t weight) const {
    return total_ == 0 ? 100 : 100 * static_cast<double>(weight) / static_cast<double>(total_);
  }
  [[nodiscard]] double pixels(std::uint64_t weight) const { return percent(weight) * kWidth / 100; }
  [[nodiscard]] std::string numbers(const FlameNode& node) const;

  std::uint64_t total_;
  std::uint64_t bytes_;
  std::string svg_;
  std::size_t rows_ = 0;
  std::set<Colour> colours_;
};

std::string Frames::numbers(const FlameNode& node) const {
  const double share =
      bytes_ == 0 ? 0 : 100 * static_cast<double>(node.bytes) / static_cast<double>(bytes_);
  return fmt::format("{} in {} {}, {:.2f} % of all", analyze::human_bytes(node.bytes), node.count,
                     node.count == 1 ? "resource" : "resources", share);
}

void Frames::box(const FlameNode& node, std::string_view classes, std::string_view colour,
                 std::string_view tip, std::uint64_t start, std::size_t depth) {
  rows_ = std::max(rows_, depth + 1);
  svg_ += fmt::format(
      "<svg class=\"{}\" x=\"{:.6g}%\" y=\"{}\" width=\"{:.6g}%\" height=\"{}\" data-s=\"{}\" "
      "data-w=\"{}\" data-d=\"{}\" tabindex=\"0\"><title>{}</title>"
      "<rect class=\"{}\" width=\"100%\" height=\"100%\"/>",
      classes, total_ == 0 ? 0 : percent(start), kHeader + depth * kRow, percent(node.weight), kRow,
      start, node.weight, depth, escape(tip), colour);
  svg_ += fmt::format("<text{} x=\"4\" y=\"13\">{}</text></svg>\n",
                      pixels(node.weight) < kTextPixels ? " class=\"off\"" : "",
                      escape(shorten_function(node.frame.name, kLongestText)));
}

void Frames::draw(const FlameNode& node, std::uint64_t start, std::size_t depth) {
  std::string tip = node.frame.name + '\n' + numbers(node);
  if (!node.frame.module.empty()) tip += '\n' + node.frame.module;
  if (!node.frame.source.empty()) tip += '\n' + node.frame.source;
  std::string colour = "n";
  if (!node.frame.module.empty()) {
    const Colour known = colour_of(node.frame);
    colours_.insert(known);
    colour = fmt::format("c{}-{}", known.hue, known.shade);
  }
  box(node, "f", colour, tip, start, depth);

  FlameNode small;
  std::size_t small_frames = 0;
  for (const FlameNode& child : node.children) {
    if (pixels(child.weight) >= kLeastPixels) {
      draw(child, start, depth + 1);
      start += child.weight;
      continue;
    }
    ++small_frames;
    small.weight += child.weight;
    small.bytes += child.bytes;
    small.count += child.count;
  }
  if (pixels(small.weight) >= kLeastPixels) draw_small(small, small_frames, start, depth + 1);
}

/// One box for the frames of one parent that are too narrow to draw, and all above them.
void Frames::draw_small(const FlameNode& sum, std::size_t frames, std::uint64_t start,
                        std::size_t depth) {
  FlameNode node = sum;
  node.frame.name = fmt::format("{} frames too small to draw", frames);
  box(node, "f s", "n", node.frame.name + '\n' + numbers(node), start, depth);
}

std::string Frames::colours() const {
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
  if (report.sites.size() + report.suppressed_sites < report.all_sites) {
    words += fmt::format(" · the {} largest sites drawn", report.sites.size());
  }
  if (const std::string left_out = suppressed_words(report); !left_out.empty()) {
    words += " · " + left_out;
  }
  if (!report.filters.empty()) words += " · " + report.filters;
  if (report.cut_off) words += " · the recording is cut off";
  words += " · " + loss_words(report);
  return words;
}

std::string header_text(std::size_t line, std::string_view attributes, std::string_view text) {
  return fmt::format("<text x=\"8\" y=\"{}\" {}>{}</text>\n", 21 + 22 * line, attributes,
                     escape(text));
}

/// Something to click at the right of the title, for the script to show; `shift` pixels away from
/// the edge.
std::string header_link(int shift, std::string_view part, std::string_view text) {
  return fmt::format(
      "<text class=\"link off\" x=\"99%\" dx=\"{}\" y=\"21\" text-anchor=\"end\" "
      "data-part=\"{}\">{}</text>\n",
      shift, part, text);
}

std::string header(const analyze::Report& report) {
  const std::string_view hint = "Click a frame to zoom. / or Ctrl-F searches, Esc goes back.";
  return fmt::format(
             "<g data-part=\"header\"><rect class=\"bg\" fill=\"#fff\" width=\"100%\" "
             "height=\"{}\"/>\n",
             kHeader - 2) +
         header_text(0, "class=\"title\"", title(report)) +
         header_text(1, "class=\"dim\"", totals_line(report)) +
         header_text(2, "class=\"dim\" data-part=\"mode\"", mode_line(report)) +
         header_text(2, "class=\"off\" data-part=\"matched\"", "") +
         header_text(3, fmt::format("data-part=\"details\" data-hint=\"{}\"", hint), hint) +
         header_link(0, "search", "search") + header_link(-70, "reset", "reset zoom") + "</g>\n";
}

}  // namespace

std::string write_flame_graph(const analyze::Report& report) {
  const FlameNode tree = flame_tree(report);
  const Frames frames(tree);
  const std::size_t height = kHeader + frames.rows() * kRow + 6;
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" class=\"lt\" width=\"{:.0f}\" "
      "height=\"{}\" data-bytes=\"{}\" data-count=\"{}\">\n<title>{}</title>\n",
      kWidth, height, tree.bytes, tree.count, escape(title(report)));
  out += fmt::format("<style>{}{}</style>\n", kFlameStyle, frames.colours());
  out += "<rect class=\"bg\" fill=\"#fff\" width=\"100%\" height=\"100%\"/>\n";
  out += frames.svg();
  out += header(report);
  out += fmt::format("<script>//<![CDATA[{}//]]></script>\n</svg>\n", kFlameScript);
  return out;
}

}  // namespace leaktrace::output
