// SPDX-License-Identifier: Apache-2.0
// What SQL text does to what a session holds, by the server's own grammar (libpg_query).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leaktrace::postgres {

/// What a statement does to cursors, prepared statements and transactions, when it succeeds.
enum class Verb : std::uint8_t {
  other,  ///< nothing
  begin,
  commit,
  rollback,
  prepare_transaction,
  savepoint,    ///< name
  release,      ///< name
  rollback_to,  ///< name
  declare,      ///< name, hold
  close,        ///< name
  close_all,
  prepare,     ///< name
  execute,     ///< name
  deallocate,  ///< name
  deallocate_all,
  discard_all,
  copy,  ///< FROM STDIN or TO STDOUT
};

struct Statement {
  Verb verb = Verb::other;
  std::string name{};       ///< as the server folds and cuts it (63 bytes)
  bool hold = false;        ///< DECLARE … WITH HOLD
  std::string_view text{};  ///< its part of the SQL, without blanks and comments around it
};

/// The statements of a text in their order, those that do nothing too: the server answers each.
struct ParsedSql {
  std::vector<Statement> statements;
  bool by_grammar = true;  ///< false: the grammar refused it, and its scanner's tokens were read
  bool complete = true;    ///< false: the text was cut, so statements may follow, and the last one
                           ///< may be another than it seems when its verb is `other`
};

/// Parses a text; `cut`: it is the beginning of a longer one. Any bytes are taken: what is no UTF-8
/// or no SQL is an `other`. The result's views are into `text`.
[[nodiscard]] ParsedSql parse_sql(std::string_view text, bool cut);

/// Can the text do anything that is tracked? False only when the grammar would say so too; costs no
/// parse.
[[nodiscard]] bool may_matter(std::string_view text);

/// What normalize_sql() makes of a text of which nothing can be shown.
inline constexpr std::string_view kNotSql = "(not SQL)";

/// The text with every literal replaced by $1, $2, …, blanks and comments folded to single blanks,
/// so that nothing of the data is left in it. It goes by tokens, so that a text that the grammar
/// refuses (cut ones too) is normalized like any other. What cannot be scanned, or told from data
/// for sure, is left out and "…" stands for it; when that is all of the text, it becomes
/// "(not SQL)". At most `most` bytes of valid UTF-8; a longer one ends with "…".
[[nodiscard]] std::string normalize_sql(std::string_view text, std::size_t most = 1024);

}  // namespace leaktrace::postgres
