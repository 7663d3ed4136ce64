// SPDX-License-Identifier: Apache-2.0
// Names come from traced processes and files: any byte can be in them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace leaktrace {

/// The text as valid UTF-8 that no terminal obeys and XML 1.0 allows: control characters (those of
/// U+0080..U+009F and the line separators too), U+FFFE, U+FFFF and bytes that are no UTF-8 become
/// U+FFFD.
[[nodiscard]] std::string printable(std::string_view text);

/// The same, but that newlines and tabs stay.
[[nodiscard]] std::string printable_lines(std::string_view text);

/// The number of code points of valid UTF-8: columns, but for wide and combining characters.
[[nodiscard]] std::size_t columns(std::string_view text);

/// The first (last) `count` code points of valid UTF-8.
[[nodiscard]] std::string_view first_columns(std::string_view text, std::size_t count);
[[nodiscard]] std::string_view last_columns(std::string_view text, std::size_t count);

}  // namespace leaktrace
