// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/sql.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <span>

#include "user/postgres/statement_reader.h"
#include "user/postgres/tokens.h"

namespace leaktrace::postgres {
namespace {

/// Tokens [first, last) of one statement.
struct TokenRange {
  std::size_t first = 0;
  std::size_t last = 0;
};

/// The statements as the grammar divides them; nothing when it refuses the text. Only the division
/// is asked for, never the tree: a function of libpg_query that walks a tree (1+1+1+… is one as
/// deep as it is long) overflows the stack.
std::optional<std::vector<TokenRange>> divide_by_grammar(const std::string& text,
                                                         std::span<const Token> tokens) {
  const PgQuerySplitResult split = pg_query_split_with_parser(text.c_str());
  std::optional<std::vector<TokenRange>> ranges;
  if (split.error == nullptr) {
    ranges.emplace();
    std::size_t next = 0;
    for (int i = 0; i < split.n_stmts; ++i) {
      const auto start = static_cast<std::size_t>(split.stmts[i]->stmt_location);
      const std::size_t end = start + static_cast<std::size_t>(split.stmts[i]->stmt_len);
      while (next < tokens.size() && tokens[next].start < start) ++next;
      const std::size_t first = next;
      while (next < tokens.size() && tokens[next].end <= end) ++next;
      ranges->push_back({first, next});
    }
  }
  pg_query_free_split_result(split);
  return ranges;
}

/// How deep in parentheses, and in the body of a function in SQL, which holds semicolons:
///   CREATE FUNCTION … BEGIN ATOMIC SELECT 1; SELECT CASE … END; END;
class Nesting {
 public:
  void enter(std::span<const Token> tokens, std::size_t first, std::size_t at) {
    const int kind = tokens[at].kind;
    if (kind == PG_QUERY__TOKEN__ASCII_40) ++parentheses_;
    if (kind == PG_QUERY__TOKEN__ASCII_41 && parentheses_ > 0) --parentheses_;
    if (tokens[first].kind != PG_QUERY__TOKEN__CREATE) return;
    const bool atomic = kind == PG_QUERY__TOKEN__ATOMIC && at > first &&
                        tokens[at - 1].kind == PG_QUERY__TOKEN__BEGIN_P;
    if (atomic || (kind == PG_QUERY__TOKEN__CASE && blocks_ > 0)) ++blocks_;
    if (kind == PG_QUERY__TOKEN__END_P && blocks_ > 0) --blocks_;
  }
  [[nodiscard]] bool outside() const { return parentheses_ == 0 && blocks_ == 0; }

 private:
  std::size_t parentheses_ = 0;
  std::size_t blocks_ = 0;
};

std::vector<TokenRange> divide_by_tokens(std::span<const Token> tokens) {
  std::vector<TokenRange> ranges;
  Nesting nesting;
  std::size_t first = 0;
  for (std::size_t i = 0; i <= tokens.size(); ++i) {
    const bool ends =
        i == tokens.size() || (tokens[i].kind == PG_QUERY__TOKEN__ASCII_59 && nesting.outside());
    if (!ends) {
      nesting.enter(tokens, first, i);
      continue;
    }
    if (i > first) ranges.push_back({first, i});
    first = i + 1;
    nesting = {};
  }
  return ranges;
}

/// The last token of a cut text may be the beginning of a longer one.
void drop_partial_token(std::vector<Token>& tokens, std::size_t text_size) {
  if (tokens.empty() || tokens.back().end < text_size) return;
  if (tokens.back().kind != PG_QUERY__TOKEN__ASCII_59) tokens.pop_back();
}

constexpr std::array<std::string_view, 15> kKeywords = {
    "abort",   "begin", "close", "commit",  "copy",    "deallocate", "declare",  "discard",
    "execute", "end",   "start", "prepare", "release", "rollback",   "savepoint"};

bool is_keyword(std::string_view word) {
  const auto equal = [word](std::string_view keyword) {
    return std::ranges::equal(word, keyword, [](char letter, char small) {
      return (letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter) == small;
    });
  };
  return std::ranges::any_of(kKeywords, equal);
}

/// As the scanner has it: bytes beyond ASCII are letters too.
bool is_word_character(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte >= 0x80 || std::isalnum(byte) != 0 || byte == '_' || byte == '$';
}

}  // namespace

ParsedSql parse_sql(std::string_view whole, bool cut) {
  const std::string_view view = scannable_part(whole);
  const bool at_nul = view.size() < whole.size() && whole[view.size()] == '\0';
  const bool ends_early = (cut && !at_nul) || (view.size() < whole.size() && !at_nul);
  ParsedSql parsed;
  parsed.complete = !ends_early;
  if (takes_too_long(view)) return {.statements = {}, .by_grammar = false, .complete = false};

  const std::string text(view);
  Scan scanned = scan(text);
  if (scanned.refused) parsed.complete = false;
  if (ends_early && !scanned.refused) drop_partial_token(scanned.tokens, text.size());

  const std::span<const Token> tokens = scanned.tokens;
  auto ranges = scanned.refused ? std::nullopt : divide_by_grammar(text, tokens);
  parsed.by_grammar = ranges.has_value();
  if (!ranges) ranges = divide_by_tokens(tokens);
  for (const TokenRange& range : *ranges) {
    if (range.first == range.last) continue;  // its only token was a partial one
    // Behind a statement is its semicolon, unless it is the last.
    const bool open_end = !parsed.complete && range.last == tokens.size();
    parsed.statements.push_back(
        read_statement(view, tokens.subspan(range.first, range.last - range.first), open_end));
  }
  return parsed;
}

bool may_matter(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && is_word_character(text[end])) ++end;
    // No keyword is shorter than END, none longer than DEALLOCATE.
    if (end - at >= 3 && end - at <= 10 && is_keyword(text.substr(at, end - at))) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace leaktrace::postgres
