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
#include "user/output/flame_picture.h"

#include <fmt/format.h>

#include <algorithm>

#include "user/output/flame_assets.h"
#include "user/output/shorten.h"

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

/// Writes the frames of a tree, and keeps how many rows they took.
class Frames {
 public:
  Frames(const FlameNode& root, FlamePaint& paint) : total_(root.weight), paint_(paint) {
    draw(root, 0, 0);
  }

  [[nodiscard]] const std::string& svg() const { return svg_; }
  [[nodiscard]] std::size_t rows() const { return rows_; }

 private:
  void draw(const FlameNode& node, std::uint64_t start, std::size_t depth);
  void draw_small(const FlameAmounts& sum, std::size_t frames, std::uint64_t start,
                  std::size_t depth);
  void box(const FlameNode& node, std::string_view classes, std::string_view tip,
           std::uint64_t start, std::size_t depth);
  [[nodiscard]] double percent(std::uint64_t weight) const {
    return total_ == 0 ? 100 : 100 * static_cast<double>(weight) / static_cast<double>(total_);
  }
  [[nodiscard]] double pixels(std::uint64_t weight) const { return percent(weight) * kWidth / 100; }

  std::uint64_t total_;
  FlamePaint& paint_;
  std::string svg_;
  std::size_t rows_ = 0;
};

void Frames::box(const FlameNode& node, std::string_view classes, std::string_view tip,
                 std::uint64_t start, std::size_t depth) {
  rows_ = std::max(rows_, depth + 1);
  svg_ += fmt::format(
      "<svg class=\"{}\" x=\"{:.6g}%\" y=\"{}\" width=\"{:.6g}%\" height=\"{}\" data-s=\"{}\" "
      "data-w=\"{}\" data-d=\"{}\" tabindex=\"0\"><title>{}</title>"
      "<rect class=\"{}\" width=\"100%\" height=\"100%\"/>",
      classes, total_ == 0 ? 0 : percent(start), kHeader + depth * kRow, percent(node.weight), kRow,
      start, node.weight, depth, escape(tip), paint_.colour(node));
  svg_ += fmt::format("<text{} x=\"4\" y=\"13\">{}</text></svg>\n",
                      pixels(node.weight) < kTextPixels ? " class=\"off\"" : "",
                      escape(shorten_function(node.frame.name, kLongestText)));
}

void Frames::draw(const FlameNode& node, std::uint64_t start, std::size_t depth) {
  std::string tip = node.frame.name + '\n' + paint_.numbers(node);
  if (!node.frame.module.empty()) tip += '\n' + node.frame.module;
  if (!node.frame.source.empty()) tip += '\n' + node.frame.source;
  box(node, "f", tip, start, depth);

  FlameAmounts small;
  std::size_t small_frames = 0;
  for (const FlameNode& child : node.children) {
    if (pixels(child.weight) >= kLeastPixels) {
      draw(child, start, depth + 1);
      start += child.weight;
      continue;
    }
    ++small_frames;
    small.add(child);
  }
  if (pixels(small.weight) >= kLeastPixels) draw_small(small, small_frames, start, depth + 1);
}

/// One box for the frames of one parent that are too narrow to draw, and all above them.
void Frames::draw_small(const FlameAmounts& sum, std::size_t frames, std::uint64_t start,
                        std::size_t depth) {
  FlameNode node;
  node.add(sum);
  node.frame.name = fmt::format("{} frames too small to draw", frames);
  box(node, "f s", node.frame.name + '\n' + paint_.numbers(node), start, depth);
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

std::string header(const FlameWords& words) {
  const std::string_view hint = "Click a frame to zoom. / or Ctrl-F searches, Esc goes back.";
  return fmt::format(
             "<g data-part=\"header\"><rect class=\"bg\" fill=\"#fff\" width=\"100%\" "
             "height=\"{}\"/>\n",
             kHeader - 2) +
         header_text(0, "class=\"title\"", words.title) +
         header_text(1, "class=\"dim\"", words.totals) +
         header_text(2, "class=\"dim\" data-part=\"mode\"", words.mode) +
         header_text(2, "class=\"off\" data-part=\"matched\"", "") +
         header_text(3, fmt::format("data-part=\"details\" data-hint=\"{}\"", hint), hint) +
         header_link(0, "search", "search") + header_link(-70, "reset", "reset zoom") + "</g>\n";
}

}  // namespace

std::string flame_picture(const FlameNode& tree, FlamePaint& paint, const FlameWords& words) {
  const Frames frames(tree, paint);
  const std::size_t height = kHeader + frames.rows() * kRow + 6;
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" class=\"lt\" width=\"{:.0f}\" "
      "height=\"{}\"{}>\n<title>{}</title>\n",
      kWidth, height, words.attributes, escape(words.title));
  out += fmt::format("<style>{}{}</style>\n", kFlameStyle, paint.style());
  out += "<rect class=\"bg\" fill=\"#fff\" width=\"100%\" height=\"100%\"/>\n";
  out += frames.svg();
  out += header(words);
  out += fmt::format("<script>//<![CDATA[{}//]]></script>\n</svg>\n", kFlameScript);
  return out;
}

}  // namespace leaktrace::output
