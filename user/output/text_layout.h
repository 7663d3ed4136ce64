// SPDX-License-Identifier: Apache-2.0
// Lines and words of the text report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "user/model/ids.h"

namespace leaktrace::output {

inline constexpr std::size_t kWidth = 100;  ///< columns
inline constexpr std::size_t kIndent = 4;

/// Words in lines of at most kWidth columns; lines after the first begin with `indent` blanks. The
/// first begins behind `used` columns that are there already.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t used, std::size_t indent);

/// `prefix` and the text behind it, wrapped under its own beginning, and a line's end.
[[nodiscard]] std::string paragraph(const std::string& prefix, std::string_view text);

/// "1 block", "2 blocks".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view one, std::string_view many);

/// What resources of a kind are called: "block", "cursor"; "blocks", "cursors".
[[nodiscard]] std::string_view one_of(model::Kind kind);
[[nodiscard]] std::string_view many_of(model::Kind kind);
[[nodiscard]] std::string resources(model::Kind kind, std::uint64_t count);

/// ", +1.75 blocks/s"; empty when it rounds to nothing.
[[nodiscard]] std::string count_rate(model::Kind kind, double per_second);

}  // namespace leaktrace::output
