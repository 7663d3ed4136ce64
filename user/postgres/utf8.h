// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace leaktrace::postgres {

/// The text as valid UTF-8 of at most `most` bytes: each byte that is part of no character becomes
/// U+FFFD. A longer one ends with "…".
[[nodiscard]] std::string clipped_utf8(std::string_view text, std::size_t most);

/// The length of the character that begins the text, 0 when none does.
[[nodiscard]] std::size_t utf8_length(std::string_view text);

}  // namespace leaktrace::postgres
