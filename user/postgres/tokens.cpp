// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/tokens.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <memory>

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostScanned = std::size_t{4} << 20;
constexpr std::string_view kOperatorCharacters = "~!@#^&|`?+-*/%<>=";

/// How many bytes the server's scanner takes for the character that begins with this one. It does
/// not look at those that follow.
std::size_t step(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if ((byte & 0xe0) == 0xc0) return 2;
  if ((byte & 0xf0) == 0xe0) return 3;
  return (byte & 0xf8) == 0xf0 ? 4 : 1;
}

/// An error's position counts characters from 1; this is its offset in bytes.
std::size_t offset_of(std::string_view text, int position) {
  std::size_t at = 0;
  for (int i = 1; i < position && at < text.size(); ++i) at += step(text[at]);
  return at < text.size() ? at : text.size();
}

bool is_comment(PgQuery__Token kind) {
  return kind == PG_QUERY__TOKEN__SQL_COMMENT || kind == PG_QUERY__TOKEN__C_COMMENT;
}

/// The end of U&"…" and U&'…', which libpg_query 15 does not tell. Quotes in it are doubled; a
/// string that goes on in another line ends with its first part.
std::size_t end_of_unicode(std::string_view text, std::size_t start) {
  const std::size_t open = start + 2;
  if (open >= text.size()) return text.size();
  std::size_t at = open + 1;
  while ((at = text.find(text[open], at)) != std::string_view::npos) {
    if (at + 1 >= text.size() || text[at + 1] != text[open]) return at + 1;
    at += 2;
  }
  return text.size();
}

bool unpack(const PgQueryProtobuf& packed, std::string_view text, std::vector<Token>& tokens) {
  const std::unique_ptr<PgQuery__ScanResult, void (*)(PgQuery__ScanResult*)> result(
      pg_query__scan_result__unpack(nullptr, packed.len,
                                    reinterpret_cast<const std::uint8_t*>(packed.data)),
      [](PgQuery__ScanResult* unpacked) {
        pg_query__scan_result__free_unpacked(unpacked, nullptr);
      });
  if (!result) return false;
  tokens.reserve(result->n_tokens);
  for (std::size_t i = 0; i < result->n_tokens; ++i) {
    const PgQuery__ScanToken& token = *result->tokens[i];
    if (is_comment(token.token)) continue;
    const auto start = static_cast<std::size_t>(token.start);
    const bool unicode =
        token.token == PG_QUERY__TOKEN__UIDENT || token.token == PG_QUERY__TOKEN__USCONST;
    const auto end = unicode ? end_of_unicode(text, start) : static_cast<std::size_t>(token.end);
    tokens.push_back({start, end, static_cast<int>(token.token)});
  }
  return true;
}

/// Scans all of the text. Where the scanner refuses it, gives the offset of what it refuses.
bool scan_whole(const std::string& text, std::vector<Token>& tokens, std::size_t& refused_at) {
  const PgQueryScanResult result = pg_query_scan(text.c_str());
  const bool taken = result.error == nullptr && unpack(result.pbuf, text, tokens);
  if (result.error != nullptr) refused_at = offset_of(text, result.error->cursorpos);
  pg_query_free_scan_result(result);
  return taken;
}

}  // namespace

std::string_view scannable_part(std::string_view text) {
  return text.substr(0, text.find('\0')).substr(0, kMostScanned);
}

bool takes_too_long(std::string_view text) {
  constexpr std::uint64_t kMostSteps = 100'000'000;
  std::uint64_t steps = 0;
  std::size_t at = 0;
  while ((at = text.find_first_of(kOperatorCharacters, at)) != std::string_view::npos) {
    const std::size_t end = text.find_first_not_of(kOperatorCharacters, at);
    const std::uint64_t length = (end == std::string_view::npos ? text.size() : end) - at;
    steps += length * length;
    at += length;
  }
  return steps > kMostSteps;
}

Scan scan(const std::string& text) {
  Scan scan;
  std::size_t refused_at = 0;
  if (scan_whole(text, scan.tokens, refused_at)) return scan;
  scan.refused = true;
  // The position may be inside of the token that is refused (a wrong escape in a string), and the
  // second try then says where that begins.
  std::string part = text;
  for (int tries = 0; tries < 4 && refused_at > 0 && refused_at < part.size(); ++tries) {
    part.resize(refused_at);
    scan.tokens.clear();
    if (scan_whole(part, scan.tokens, refused_at)) return scan;
  }
  scan.tokens.clear();
  return scan;
}

}  // namespace leaktrace::postgres
