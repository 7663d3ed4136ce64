// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "user/postgres/sql.h"
#include "user/postgres/tokens.h"

namespace leaktrace::postgres {

/// What a statement is, by its tokens. `tokens` are those of one statement, without the semicolon.
/// `open_end`: more tokens may follow that were not read; what depends on them is an `other`.
[[nodiscard]] Statement read_statement(std::string_view text, std::span<const Token> tokens,
                                       bool open_end);

}  // namespace leaktrace::postgres
