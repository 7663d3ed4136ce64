// SPDX-License-Identifier: Apache-2.0
// The parts of the flame graph that do not depend on the report.
#pragma once

#include <string_view>

namespace leaktrace::output {

/// The style sheet, light and dark; the colours of frames are added by the writer.
extern const std::string_view kFlameStyle;

/// What makes the picture answer: zoom, search, details, keyboard. It finds the frames as elements
/// of class "f" with data-s (start), data-w (width) and data-d (depth), in weights.
extern const std::string_view kFlameScript;

}  // namespace leaktrace::output
