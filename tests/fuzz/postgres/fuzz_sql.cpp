// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <string>

#include "tests/fuzz/postgres/fuzz_postgres.h"
#include "tests/fuzz/postgres/require.h"
#include "user/postgres/sql.h"
#include "user/postgres/utf8.h"

namespace leaktrace::fuzz {
namespace {

using postgres::ParsedSql;
using postgres::Statement;
using postgres::Verb;

bool has_name(Verb verb) {
  return verb == Verb::savepoint || verb == Verb::release || verb == Verb::rollback_to ||
         verb == Verb::declare || verb == Verb::close || verb == Verb::prepare ||
         verb == Verb::execute || verb == Verb::deallocate;
}

void check_statement(const Statement& statement, std::string_view text) {
  require(!statement.text.empty(), "a statement has a text");
  require(statement.text.data() >= text.data() &&
              statement.text.data() + statement.text.size() <= text.data() + text.size(),
          "a statement's text is part of the text");
  require(statement.name.empty() != has_name(statement.verb), "what has a name has one");
  require(statement.name.size() <= 63, "names are cut");
  require(!statement.hold || statement.verb == Verb::declare, "only cursors are held");
}

void check_parsed(std::string_view text, bool cut) {
  const ParsedSql parsed = postgres::parse_sql(text, cut);
  bool does_nothing = true;
  const char* last = text.data();
  for (const Statement& statement : parsed.statements) {
    check_statement(statement, text);
    require(statement.text.data() >= last, "statements are in order");
    last = statement.text.data() + statement.text.size();
    does_nothing = does_nothing && statement.verb == Verb::other;
  }
  require(does_nothing || postgres::may_matter(text), "what may not matter does nothing");
}

void check_normalized(std::string_view text, std::size_t most) {
  const std::string normalized = postgres::normalize_sql(text, most);
  require(normalized.size() <= most, "it is of bounded size");
  std::string_view rest = normalized;
  while (!rest.empty()) {
    const std::size_t length = postgres::utf8_length(rest);
    require(length != 0, "it is UTF-8");
    rest.remove_prefix(length);
  }
}

/// Quotes of names are taken out, and what they hold; then nothing must be left of a literal.
void check_no_literal(std::string_view text) {
  const std::string normalized = postgres::normalize_sql(text, std::size_t{1} << 20);
  bool in_name = false;
  char before = ' ';
  for (const char character : normalized) {
    if (character == '"') in_name = !in_name;
    if (!in_name) {
      require(character != '\'', "no string is left");
      const bool begins_number = std::isdigit(static_cast<unsigned char>(character)) != 0 &&
                                 std::isalnum(static_cast<unsigned char>(before)) == 0 &&
                                 before != '_' && before != '$' &&
                                 static_cast<unsigned char>(before) < 0x80;
      require(!begins_number, "no number is left");
    }
    before = character;
  }
}

}  // namespace

void fuzz_sql(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_parsed(text, false);
  check_parsed(text, true);
  check_normalized(text, 1024);
  check_normalized(text, size % 64);
  check_no_literal(text);
}

}  // namespace leaktrace::fuzz
