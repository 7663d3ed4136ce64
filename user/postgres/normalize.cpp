// SPDX-License-Identifier: Apache-2.0
// pg_query_normalize leaves comments and the literals of many commands as they are, so this goes by
// tokens for every text: no literal can hide from the scanner.
#include <pg_query/pg_query.pb-c.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <span>

#include "user/postgres/sql.h"
#include "user/postgres/tokens.h"
#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

/// Little is shown of a text, so little of a long one is scanned.
constexpr std::size_t kMostNormalized = std::size_t{64} << 10;

bool is_literal(int kind) {
  return kind == PG_QUERY__TOKEN__ICONST || kind == PG_QUERY__TOKEN__FCONST ||
         kind == PG_QUERY__TOKEN__SCONST || kind == PG_QUERY__TOKEN__USCONST ||
         kind == PG_QUERY__TOKEN__BCONST || kind == PG_QUERY__TOKEN__XCONST;
}

/// Does the string end at another place for a server whose standard_conforming_strings is off, so
/// that what follows may be data?   'it\'s a secret'
bool ends_doubtfully(std::string_view token, int kind) {
  return kind == PG_QUERY__TOKEN__SCONST && token.front() == '\'' &&
         token.find("\\'") != std::string_view::npos;
}

class Normalizer {
 public:
  Normalizer(std::string_view text, std::span<const Token> tokens) : text_(text), tokens_(tokens) {
    for (const Token& token : tokens_) {
      if (token.kind == PG_QUERY__TOKEN__PARAM) note_parameter(text_of(token));
    }
  }

  /// Stops once there is more than `most` bytes. False: not all of the text could be told from
  /// data.
  bool run(std::size_t most) {
    for (std::size_t i = 0; i < tokens_.size() && out_.size() <= most; ++i) {
      const Token& token = tokens_[i];
      const bool literal = is_literal(token.kind);
      if (i > 0 && (tokens_[i - 1].end < token.start || (literal && ends_with_word()))) out_ += ' ';
      if (literal) {
        out_ += '$' + std::to_string(++last_parameter_);
      } else {
        out_ += text_of(token);
      }
      if (ends_doubtfully(text_of(token), token.kind)) return false;
    }
    return true;
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  [[nodiscard]] std::string_view text_of(const Token& token) const {
    return text_.substr(token.start, token.end - token.start);
  }

  [[nodiscard]] bool ends_with_word() const {
    return !out_.empty() && (std::isalnum(static_cast<unsigned char>(out_.back())) != 0 ||
                             out_.back() == '_' || out_.back() == '$');
  }

  void note_parameter(std::string_view parameter) {
    std::uint32_t number = 0;
    const auto read =
        std::from_chars(parameter.data() + 1, parameter.data() + parameter.size(), number);
    if (read.ec == std::errc()) last_parameter_ = std::max<std::uint64_t>(last_parameter_, number);
  }

  std::string_view text_;
  std::span<const Token> tokens_;
  std::uint64_t last_parameter_ = 0;
  std::string out_;
};

}  // namespace

std::string normalize_sql(std::string_view whole, std::size_t most) {
  const std::string_view all = scannable_part(whole);
  const std::string text(all.substr(0, kMostNormalized));
  if (takes_too_long(text)) return clipped_utf8(kNotSql, most);
  const Scan scanned = scan(text);
  if (scanned.tokens.empty()) return scanned.refused ? clipped_utf8(kNotSql, most) : std::string();
  Normalizer normalizer(text, scanned.tokens);
  const bool whole_text = normalizer.run(most) && !scanned.refused && text.size() == all.size();
  std::string normalized = normalizer.take();
  if (!whole_text) normalized += "…";
  return clipped_utf8(normalized, most);
}

}  // namespace leaktrace::postgres
