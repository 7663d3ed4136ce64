// SPDX-License-Identifier: Apache-2.0
// A tree of frames as an interactive picture in one SVG file that loads nothing from anywhere.
#pragma once

#include <string>

#include "user/output/flame_tree.h"

namespace leaktrace::output {

/// What a kind of flame graph shows by colours and says of a frame.
class FlamePaint {
 public:
  FlamePaint() = default;
  FlamePaint(const FlamePaint&) = delete;
  FlamePaint& operator=(const FlamePaint&) = delete;
  virtual ~FlamePaint() = default;

  /// The amounts of a frame, in one line of words.
  [[nodiscard]] virtual std::string numbers(const FlameAmounts& amounts) const = 0;
  /// The style class of a frame's box; "n" is neutral, and there already.
  [[nodiscard]] virtual std::string colour(const FlameNode& node) = 0;
  /// The style rules of the classes that colour() gave so far, light and dark.
  [[nodiscard]] virtual std::string style() const = 0;
};

/// What stands above the picture, in plain text.
struct FlameWords {
  std::string title;
  std::string totals;
  std::string mode;
  std::string attributes;  ///< of the root element, for programs: ' data-bytes="1"'
};

[[nodiscard]] std::string flame_picture(const FlameNode& tree, FlamePaint& paint,
                                        const FlameWords& words);

}  // namespace leaktrace::output
