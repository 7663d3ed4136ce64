// SPDX-License-Identifier: Apache-2.0
// SQL as the tokens of the server's own scanner (libpg_query).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leaktrace::postgres {

struct Token {
  std::size_t start = 0;
  std::size_t end = 0;
  int kind = 0;  ///< a PgQuery__Token
};

struct Scan {
  std::vector<Token> tokens;  ///< without comments
  /// The scanner refuses what follows the tokens: a quote that is not closed, say. What is before
  /// it was read all the same.
  bool refused = false;
};

/// The text as far as it is SQL at all and can be scanned in reasonable time: up to a NUL, and of a
/// bounded size.
[[nodiscard]] std::string_view scannable_part(std::string_view text);

/// Would the scanner need very long? Its rules for operators look at a run of operator characters
/// again for each token in it, which takes hours for a mebibyte of "/*/*/*…".
[[nodiscard]] bool takes_too_long(std::string_view text);

/// The tokens of a text without a NUL that does not take too long.
[[nodiscard]] Scan scan(const std::string& text);

}  // namespace leaktrace::postgres
