// SPDX-License-Identifier: Apache-2.0
#include "random_sql.h"

#include <algorithm>

namespace {

/// In front of a cursor's comes a c, in front of a statement's an s.
constexpr const char* kNames[] = {
    "1",     "2",
    "3",     "4",
    "5",     "6",
    "7",     "8",
    "9",     "_a",
    "_b",    "_c",
    " 4",    ";5",
    "\"6",   "lose",
    "größe", " ALL; CLOSE ALL",
    "URSOR", "_whose_name_is_longer_than_the_sixty_three_bytes_that_a_server_keeps"};
constexpr std::size_t kRemembered = 15;
constexpr const char* kTransactions[] = {"t1", "t2", "T 3"};
constexpr const char* kSavepoints[] = {"s1", "s2", "S1", "\"S1\"", "\"s;3\""};
constexpr const char* kQueries[] = {
    "SELECT 1",
    "SELECT generate_series(1, 20)",
    "SELECT 'CLOSE ALL; ''DISCARD ALL'",
    "SELECT $$; COMMIT; $$ AS \"ROLLBACK\"",
    "VALUES (1, 'one'), (2, E'tw\\'o')",
    "SELECT n FROM generate_series(1, 5) n WHERE n > 2 /* ; CLOSE ALL */",
};
constexpr const char* kFailures[] = {
    "SELECT 1/0",
    "no SQL at all",
    "SELECT * FROM no_such_table",
    "SELECT 'unterminated",
    "CLOSE no_such_cursor",
    "DEALLOCATE no_such_statement",
    "FETCH no_such_cursor",
    "ROLLBACK TO no_such",
    "EXECUTE no_such_statement",
    "DECLARE CURSOR",
    "SELECT 1/(n - 3) FROM generate_series(1, 5) n",
};

constexpr const char* kBegins[] = {"BEGIN", "START TRANSACTION", "begin work"};
constexpr const char* kEnds[] = {"COMMIT", "END", "COMMIT AND CHAIN"};
constexpr const char* kUndoes[] = {"ROLLBACK", "ABORT", "ROLLBACK AND CHAIN"};

}  // namespace

// ---- Names
// ----------------------------------------------------------------------------------------

std::string RandomSql::any_name(char letter) {
  return letter + std::string(dice_.pick(kNames));
}

std::string RandomSql::new_name(Names& used, char letter) {
  std::string name = any_name(letter);
  for (int tries = 0; tries < 4 && std::ranges::find(used, name) != used.end(); ++tries) {
    name = any_name(letter);
  }
  used.push_back(name);
  if (used.size() > kRemembered) used.erase(used.begin());
  return name;
}

std::string RandomSql::some_name(const Names& used, char letter) {
  return used.empty() || dice_.one_in(30) ? any_name(letter) : dice_.pick(used);
}

/// One that will not be there any more.
std::string RandomSql::last_use_of_name(Names& used, char letter) {
  const std::string name = some_name(used, letter);
  std::erase(used, name);
  return name;
}

/// The savepoints of a transaction are not known for certain either.
std::string RandomSql::new_savepoint() {
  savepoints_.push_back(dice_.pick(kSavepoints));
  return savepoints_.back();
}

std::string RandomSql::some_savepoint() {
  return savepoints_.empty() || dice_.one_in(30) ? dice_.pick(kSavepoints)
                                                 : dice_.pick(savepoints_);
}

std::string RandomSql::transaction_statement_name() {
  return dice_.pick(kTransactions);
}

/// As SQL has it: quoted, or in any case where that means the same.
std::string RandomSql::in_sql(std::string name) {
  const bool bare = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == name.npos;
  if (bare && !dice_.one_in(4)) {
    if (dice_.one_in(3)) name[0] = static_cast<char>(name[0] - 'a' + 'A');
    return name;
  }
  std::string quoted = "\"";
  for (const char letter : name) {
    if (letter == '"') quoted += '"';
    quoted += letter;
  }
  return quoted + '"';
}

/// Blanks and comments that mean nothing.
std::string RandomSql::gap() {
  constexpr const char* kGaps[] = {
      " ", " ", " ", " ", "\n", "\t ", " /* ; CLOSE ALL */ ", "/*/**/*/", " -- ; DISCARD ALL\n"};
  return dice_.pick(kGaps);
}

// ---- Statements
// -----------------------------------------------------------------------------------

std::string RandomSql::declare() {
  constexpr const char* kKinds[] = {" CURSOR FOR ", " NO SCROLL CURSOR WITHOUT HOLD FOR ",
                                    " CURSOR WITH HOLD FOR ", " SCROLL CURSOR WITH HOLD FOR "};
  const std::string name = in_sql(new_name(cursors_, 'c'));
  return "DECLARE" + gap() + name + dice_.pick(kKinds) + dice_.pick(kQueries);
}

std::string RandomSql::close() {
  if (dice_.one_in(15)) return "CLOSE" + gap() + "ALL";
  return "CLOSE" + gap() + in_sql(last_use_of_name(cursors_, 'c'));
}

std::string RandomSql::prepare() {
  return "PREPARE" + gap() + in_sql(new_statement()) + " AS " + dice_.pick(kQueries);
}

std::string RandomSql::deallocate() {
  if (dice_.one_in(20)) return "DEALLOCATE" + gap() + "ALL";
  const std::string name = in_sql(last_use_of_name(statements_, 's'));
  return (dice_.one_in(2) ? "DEALLOCATE PREPARE " : "DEALLOCATE" + gap()) + name;
}

std::string RandomSql::discard() {
  constexpr const char* kWhat[] = {"DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"};
  return dice_.one_in(3) ? "DISCARD ALL" : dice_.pick(kWhat);
}

std::string RandomSql::use() {
  if (dice_.one_in(2)) return "EXECUTE " + in_sql(some_statement());
  return (dice_.one_in(2) ? "FETCH 3 FROM " : "MOVE ") + in_sql(some_cursor());
}

std::string RandomSql::begin() {
  savepoints_.clear();
  return dice_.pick(kBegins);
}

std::string RandomSql::undo_savepoint() {
  return (dice_.one_in(2) ? "ROLLBACK TO " : "ROLLBACK WORK TO SAVEPOINT ") + some_savepoint();
}

std::string RandomSql::transaction_statement(Transaction transaction) {
  const std::size_t side = dice_.below(20);
  if (side == 0) return dice_.pick(kEnds);
  if (side == 1) return dice_.pick(kUndoes);
  if (side == 2) return begin();
  if (transaction == Transaction::none) return side < 4 ? "SAVEPOINT early" : begin();
  if (transaction == Transaction::failed) {
    return side < 8 || savepoints_.empty() ? dice_.pick(kUndoes) : undo_savepoint();
  }
  if (side < 5) return (dice_.one_in(2) ? "RELEASE " : "RELEASE SAVEPOINT ") + some_savepoint();
  if (side < 10) return undo_savepoint();
  return "SAVEPOINT" + gap() + new_savepoint();
}

std::string RandomSql::preparable() {
  switch (dice_.below(6)) {
    case 0:
    case 1:
      return declare();
    case 2:
      return close();
    case 3:
      return deallocate();
    default:
      return dice_.pick(kQueries);
  }
}

std::string RandomSql::statement(Transaction transaction) {
  std::size_t side = dice_.below(100);
  if (transaction == Transaction::failed && side < 80) side = 0;
  if (transaction == Transaction::none && side > 80) side = 0;
  if (transaction == Transaction::open && side < 15) side = 99;
  if (side < 25) return transaction_statement(transaction);
  if (side < 55) return declare();
  if (side < 65) return close();
  if (side < 75) return prepare();
  if (side < 80) return deallocate();
  if (side < 88) return use();
  if (side < 89) return discard();
  if (side < 91) return dice_.pick(kFailures);
  return dice_.pick(kQueries);
}

std::string RandomSql::several(Transaction transaction) {
  std::string text;
  for (std::size_t left = 2 + dice_.below(4); left > 0; --left) {
    text += statement(transaction) + (left > 1 || dice_.one_in(2) ? ";" : "") + gap();
  }
  return text;
}
