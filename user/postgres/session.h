// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "user/model/record.h"
#include "user/postgres/event.h"
#include "user/postgres/holdings.h"
#include "user/postgres/sessions.h"
#include "user/postgres/sql_cache.h"

namespace leaktrace::postgres {

/// What all sessions share.
struct SessionContext {
  Holdings& holdings;
  SqlCache& cache;
  SessionLosses& losses;
};

/// A command whose results have not all come. One of kind `unknown` stands for `count` of them.
struct Command {
  CommandKind kind = CommandKind::unknown;
  std::uint64_t count = 1;
  model::StackId stack{};
  std::string name;
  std::shared_ptr<SqlText> sql;  ///< null: it has none
  std::size_t next_statement = 0;
  bool answered = false;  ///< it has brought a result
  bool counted_unparsed = false;
  std::uint64_t row_mode = 0;  ///< what is open while its results come row by row; 0: nothing
};

/// The transaction of a connection, as far as it is known.
///
/// What is opened in one is noted in `resources` by running number. That alone says what a
/// savepoint covers: all with a higher number than its own, whatever was released in between.
struct Transaction {
  struct Savepoint {
    std::string name;
    std::uint64_t newest = 0;  ///< what is opened after it has a higher number
    std::uint64_t count = 1;   ///< so many of them, one upon the other
  };
  bool is_explicit = false;  ///< begun by BEGIN; else by what is executed now, until its end
  bool failed = false;       ///< an error was seen in it
  std::uint64_t since_ns = 0;
  std::vector<Savepoint> savepoints;
  std::set<std::uint64_t> resources;  ///< of those opened in it, what its end may close
};

/// One connection: its queue of commands, its transaction, and the names of what it has open.
class Session {
 public:
  Session(const ConnectionKey& key, std::uint64_t at_ns, bool from_start, SessionContext& context);
  Session(const Session&) = delete;  // sites refer to its holder
  Session& operator=(const Session&) = delete;

  /// Any event but `finished`.
  void apply(const Event& event);
  /// PQfinish: what is open is released.
  void finish(std::uint64_t at_ns) { end_server_session(at_ns); }

  [[nodiscard]] const Holder& holder() const { return holder_; }
  [[nodiscard]] Holder& holder() { return holder_; }
  /// What a prepared statement that is open does, as it is shown; null: it is not known.
  [[nodiscard]] SharedText sql_of_statement(const std::string& name) const;
  [[nodiscard]] std::uint64_t since_ns() const { return described_.since_ns; }
  /// For reports; lists at most model::kMostOpenListed of what is open.
  [[nodiscard]] model::Connection describe() const;
  void add_stacks_in_use(std::unordered_set<model::StackId>& stacks) const;

 private:
  // session.cpp: the events
  void dispatch(const Event& event);
  void connected(const Event& event);
  void update_words();
  void command(const Event& event);
  void enqueue(Command command, std::uint64_t ahead);
  void drop_oldest(std::uint64_t at_ns);
  void withdraw(std::uint64_t at_ns);
  void complete_oldest(std::uint64_t at_ns);
  void done(const Event& event);
  void row_mode(const Event& event);
  void events_lost(std::uint64_t at_ns);
  void unobserved(const Event& event);
  void end_server_session(std::uint64_t at_ns);
  [[nodiscard]] model::ConnectionState state() const;

  // session_results.cpp: what a command's results say
  void result(const Event& event);
  void copy_begins(const Command* command, const Event& event);
  void first_answer(Command& command, std::uint64_t at_ns);
  void failed(const Command* command);
  void succeeded(Command* command, const Event& event);
  void statement_succeeded(Command& command, const Event& event);
  void prepare_succeeded(Command& command, const Event& event);
  /// What a prepared statement does when it is executed.
  struct Prepared {
    Statement executes;
    SharedText sql;
  };
  [[nodiscard]] std::optional<Prepared> prepared_as(const std::string& name) const;
  void perform_prepared(const std::string& name, model::StackId stack, const Event& event);
  void count_unparsed(Command& command);
  [[nodiscard]] const Statement* statement_of(const Command& command) const;

  // session_effects.cpp: what statements do
  struct Cause {
    model::StackId stack{};
    SharedText sql{};
    std::uint64_t at_ns = 0;
    std::string_view tag{};
    /// The server would have refused a cursor that needs a transaction block outside of one.
    bool alone = false;
  };
  void perform(const Statement& statement, const Cause& cause);
  void perform_by_tag(const Event& event, bool mattered);
  void declare(const Statement& statement, const Cause& cause);
  void open_statement(const std::string& name, const Cause& cause, Statement executes);
  void close_cursor(const std::string& name, std::uint64_t at_ns, bool certain);
  void close_statement(const std::string& name, std::uint64_t at_ns, bool certain);
  void close_all_cursors(std::uint64_t at_ns);
  void deallocate_all(std::uint64_t at_ns);
  void open_large_object(const Event& event);
  void close_large_object(const Event& event);
  void close_named(std::unordered_map<std::string, std::uint64_t>& names, const std::string& name,
                   std::uint64_t at_ns, bool certain);
  std::uint64_t open(model::Kind kind, const Cause& cause, Open resource);
  void close(std::uint64_t number, std::uint64_t at_ns);

  // session_transaction.cpp
  void begin(std::uint64_t at_ns);
  void end_transaction(bool commit, std::uint64_t at_ns);
  void set_savepoint(const std::string& name);
  void release_savepoint(const std::string& name);
  void roll_back_to(const std::string& name, std::uint64_t at_ns);
  void settle(TransactionStatus status, std::uint64_t at_ns);
  void settle_idle(bool rolled_back, std::uint64_t at_ns);
  /// The newest savepoint of the name, or the end.
  [[nodiscard]] std::vector<Transaction::Savepoint>::iterator savepoint(const std::string& name);
  void count_undecided_if_held();

  SessionContext* context_;
  ConnectionKey key_;
  model::Connection described_;  ///< but for what is open
  Holder holder_;

  std::deque<Command> queue_;
  std::uint64_t queued_ = 0;  ///< commands in the queue, each placeholder with its count
  Transaction transaction_;
  bool transaction_known_ = false;  ///< was ever known; false: it may have begun before the trace
  bool commit_refused_ = false;     ///< COMMIT failed, which ends the transaction
  /// A "ROLLBACK" that may have been one to a savepoint; what comes next tells.
  bool rollback_doubtful_ = false;
  bool broken_ = false;
  bool catching_up_ = false;  ///< what is released now was released when nobody looked

  std::unordered_map<std::string, std::uint64_t> statements_;
  std::shared_ptr<SqlText> last_parameters_;  ///< the unnamed statement that a command has left
  std::unordered_map<std::string, std::uint64_t> cursors_;
  std::map<std::int64_t, std::uint64_t> large_objects_;
  std::uint64_t copy_ = 0;  ///< 0: not open; so the next
  std::uint64_t pipeline_ = 0;
};

}  // namespace leaktrace::postgres
