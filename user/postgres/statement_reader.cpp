// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/statement_reader.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <algorithm>
#include <memory>
#include <string>

namespace leaktrace::postgres {
namespace {

/// A name as the grammar folds and cuts it: it reads `CLOSE name`, where any name may stand. Empty
/// when it is none.
std::string folded_name(std::string_view quoted) {
  const std::string close = "CLOSE " + std::string(quoted);
  const PgQueryProtobufParseResult result = pg_query_parse_protobuf(close.c_str());
  const std::unique_ptr<PgQuery__ParseResult, void (*)(PgQuery__ParseResult*)> tree(
      result.error != nullptr ? nullptr
                              : pg_query__parse_result__unpack(
                                    nullptr, result.parse_tree.len,
                                    reinterpret_cast<const std::uint8_t*>(result.parse_tree.data)),
      [](PgQuery__ParseResult* unpacked) {
        if (unpacked != nullptr) pg_query__parse_result__free_unpacked(unpacked, nullptr);
      });
  pg_query_free_protobuf_parse_result(result);
  if (!tree || tree->n_stmts != 1) return {};
  const PgQuery__Node* node = tree->stmts[0]->stmt;
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT) return {};
  const char* name = node->close_portal_stmt->portalname;
  return name == nullptr ? std::string() : std::string(name);
}

/// Reads a statement token by token, and notes whether it has looked beyond the last one.
class Reader {
 public:
  Reader(std::string_view text, std::span<const Token> tokens) : text_(text), tokens_(tokens) {}

  [[nodiscard]] Statement read();
  [[nodiscard]] bool looked_beyond() const { return looked_beyond_; }

 private:
  int at(std::size_t index) {
    if (index < tokens_.size()) return tokens_[index].kind;
    looked_beyond_ = true;
    return PG_QUERY__TOKEN__NUL;
  }
  bool is(std::size_t index, int kind) { return at(index) == kind; }

  Statement named(Verb verb, std::size_t index);
  Statement end_of_transaction(Verb verb);
  Statement rollback();
  Statement declare();
  Statement prepare();
  Statement deallocate();
  Statement copy();
  std::size_t after_name(std::size_t index);

  std::string_view text_;
  std::span<const Token> tokens_;
  bool looked_beyond_ = false;
};

/// The index behind the name: U&"…" UESCAPE '…' is one of three tokens.
std::size_t Reader::after_name(std::size_t index) {
  if (!is(index, PG_QUERY__TOKEN__UIDENT)) return index + 1;
  return is(index + 1, PG_QUERY__TOKEN__UESCAPE) ? index + 3 : index + 1;
}

Statement Reader::named(Verb verb, std::size_t index) {
  const std::size_t after = after_name(index);
  if (after > tokens_.size()) {
    looked_beyond_ = true;
    return {};
  }
  const std::size_t start = tokens_[index].start;
  std::string name = folded_name(text_.substr(start, tokens_[after - 1].end - start));
  if (name.empty()) return {};
  return {.verb = verb, .name = std::move(name)};
}

/// COMMIT, but not COMMIT PREPARED, which ends another session's transaction.
Statement Reader::end_of_transaction(Verb verb) {
  if (is(1, PG_QUERY__TOKEN__PREPARED)) return {};
  return {.verb = verb};
}

/// ROLLBACK [WORK | TRANSACTION] [TO [SAVEPOINT] name]
Statement Reader::rollback() {
  const int second = at(1);
  const bool noise = second == PG_QUERY__TOKEN__WORK || second == PG_QUERY__TOKEN__TRANSACTION;
  const std::size_t to = noise ? 2 : 1;
  if (!is(to, PG_QUERY__TOKEN__TO)) return end_of_transaction(Verb::rollback);
  // SAVEPOINT may also be the name.
  const bool word = is(to + 1, PG_QUERY__TOKEN__SAVEPOINT) && at(to + 2) != PG_QUERY__TOKEN__NUL;
  return named(Verb::rollback_to, word ? to + 2 : to + 1);
}

/// DECLARE name [options] CURSOR [WITH HOLD | WITHOUT HOLD] FOR query
Statement Reader::declare() {
  bool with = false;
  bool hold = false;
  bool cursor = false;
  std::size_t i = after_name(1);
  for (; !is(i, PG_QUERY__TOKEN__FOR); ++i) {
    const int kind = at(i);
    if (kind == PG_QUERY__TOKEN__NUL) return {};
    cursor = cursor || kind == PG_QUERY__TOKEN__CURSOR;
    hold = hold || (with && kind == PG_QUERY__TOKEN__HOLD);
    with = kind == PG_QUERY__TOKEN__WITH || kind == PG_QUERY__TOKEN__WITH_LA;
  }
  if (!cursor) return {};
  Statement statement = named(Verb::declare, 1);
  statement.hold = hold && statement.verb == Verb::declare;
  return statement;
}

Statement Reader::prepare() {
  // TRANSACTION may also be the name of a statement.
  if (is(1, PG_QUERY__TOKEN__TRANSACTION) && is(2, PG_QUERY__TOKEN__SCONST)) {
    return {.verb = Verb::prepare_transaction};
  }
  return named(Verb::prepare, 1);
}

/// DEALLOCATE [PREPARE] {name | ALL}, and PREPARE may also be the name.
Statement Reader::deallocate() {
  const bool word = is(1, PG_QUERY__TOKEN__PREPARE) && at(2) != PG_QUERY__TOKEN__NUL;
  const std::size_t name = word ? 2 : 1;
  if (is(name, PG_QUERY__TOKEN__ALL)) {
    return {.verb = Verb::deallocate_all};
  }
  return named(Verb::deallocate, name);
}

/// COPY … FROM STDIN, COPY … TO STDOUT; not those of the server's files and programs.
Statement Reader::copy() {
  int depth = 0;
  for (std::size_t i = 1;; ++i) {
    const int kind = at(i);
    if (kind == PG_QUERY__TOKEN__NUL) return {};
    if (kind == PG_QUERY__TOKEN__ASCII_40) ++depth;
    if (kind == PG_QUERY__TOKEN__ASCII_41) --depth;
    if (depth != 0) continue;
    const bool to = kind == PG_QUERY__TOKEN__TO;
    if (!to && kind != PG_QUERY__TOKEN__FROM) continue;
    // The server takes either word for either direction.
    const int where = at(i + 1);
    if (where != PG_QUERY__TOKEN__STDOUT && where != PG_QUERY__TOKEN__STDIN) return {};
    return {.verb = Verb::copy};
  }
}

Statement Reader::read() {
  const auto plain = [](Verb verb) { return Statement{.verb = verb}; };
  switch (at(0)) {
    case PG_QUERY__TOKEN__BEGIN_P:
      return plain(Verb::begin);
    case PG_QUERY__TOKEN__START:
      return is(1, PG_QUERY__TOKEN__TRANSACTION) ? plain(Verb::begin) : Statement{};
    case PG_QUERY__TOKEN__COMMIT:
    case PG_QUERY__TOKEN__END_P:
      return end_of_transaction(Verb::commit);
    case PG_QUERY__TOKEN__ROLLBACK:
      return rollback();
    case PG_QUERY__TOKEN__ABORT_P:
      return plain(Verb::rollback);
    case PG_QUERY__TOKEN__SAVEPOINT:
      return named(Verb::savepoint, 1);
    case PG_QUERY__TOKEN__RELEASE: {
      const bool word = is(1, PG_QUERY__TOKEN__SAVEPOINT) && at(2) != PG_QUERY__TOKEN__NUL;
      return named(Verb::release, word ? 2 : 1);
    }
    case PG_QUERY__TOKEN__DECLARE:
      return declare();
    case PG_QUERY__TOKEN__CLOSE:
      return is(1, PG_QUERY__TOKEN__ALL) ? plain(Verb::close_all) : named(Verb::close, 1);
    case PG_QUERY__TOKEN__PREPARE:
      return prepare();
    case PG_QUERY__TOKEN__EXECUTE:
      return named(Verb::execute, 1);
    case PG_QUERY__TOKEN__DEALLOCATE:
      return deallocate();
    case PG_QUERY__TOKEN__DISCARD:
      return is(1, PG_QUERY__TOKEN__ALL) ? plain(Verb::discard_all) : Statement{};
    case PG_QUERY__TOKEN__COPY:
      return copy();
    default:
      return {};
  }
}

}  // namespace

Statement read_statement(std::string_view text, std::span<const Token> tokens, bool open_end) {
  Reader reader(text, tokens);
  Statement statement = reader.read();
  if (open_end && reader.looked_beyond()) statement = {};
  if (!tokens.empty()) {
    statement.text = text.substr(tokens.front().start, tokens.back().end - tokens.front().start);
  }
  return statement;
}

}  // namespace leaktrace::postgres
