// SPDX-License-Identifier: Apache-2.0
// SQL at random: what opens and closes cursors, statements and transactions, and what fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

/// The same sequence everywhere for the same seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(engine_() % bound); }
  bool one_in(std::size_t sides) { return below(sides) == 0; }
  template <class Array>
  const auto& pick(const Array& array) {
    return array[below(std::size(array))];
  }

 private:
  std::mt19937_64 engine_;
};

/// Writes SQL for one session. It remembers, roughly, which names may be in use, so that most
/// statements succeed and some do not.
class RandomSql {
 public:
  /// What is likely to succeed.
  enum class Transaction { none, open, failed };

  explicit RandomSql(Dice& dice) : dice_(dice) {}

  /// A name for a new statement, and of one that may be there; bare, as PQprepare takes it.
  std::string new_statement() { return new_name(statements_, 's'); }
  std::string some_statement() { return some_name(statements_, 's'); }
  std::string some_cursor() { return some_name(cursors_, 'c'); }
  /// Of statements that begin or end transactions: EXECUTE never runs these.
  std::string transaction_statement_name();

  std::string statement(Transaction transaction);
  /// Begins or ends a transaction or a savepoint.
  std::string transaction_statement(Transaction transaction);
  /// Touches no transaction.
  std::string preparable();
  /// Two to five statements.
  std::string several(Transaction transaction);

 private:
  using Names = std::vector<std::string>;

  std::string any_name(char letter);
  std::string new_name(Names& used, char letter);
  std::string some_name(const Names& used, char letter);
  std::string last_use_of_name(Names& used, char letter);
  std::string new_savepoint();
  std::string some_savepoint();
  std::string in_sql(std::string name);
  std::string gap();
  std::string declare();
  std::string close();
  std::string prepare();
  std::string deallocate();
  std::string discard();
  std::string use();
  std::string begin();
  std::string undo_savepoint();

  Dice& dice_;
  Names cursors_;
  Names statements_;
  Names savepoints_;
};
