// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "user/postgres/command_tag.h"
#include "user/postgres/session.h"

namespace leaktrace::postgres {
namespace {

bool is_copy(ResultStatus status) {
  return status == ResultStatus::copy_in || status == ResultStatus::copy_out ||
         status == ResultStatus::copy_both;
}

std::string_view copy_state(ResultStatus status) {
  if (status == ResultStatus::copy_in) return "copy in";
  return status == ResultStatus::copy_out ? "copy out" : "copy both";
}

/// Does it belong to a statement that goes on?
bool is_partial(ResultStatus status) {
  return status == ResultStatus::single_tuple || status == ResultStatus::tuples_chunk ||
         status == ResultStatus::nonfatal_error;
}

bool is_error(ResultStatus status) {
  return status == ResultStatus::fatal_error || status == ResultStatus::bad_response;
}

bool ends_transaction(Verb verb) {
  return verb == Verb::commit || verb == Verb::rollback || verb == Verb::rollback_to ||
         verb == Verb::prepare_transaction;
}

/// The transaction cannot have failed when a statement in it succeeds that does not end it.
bool proves_health(const Command& command, std::string_view tag) {
  const bool runs = command.kind == CommandKind::query || command.kind == CommandKind::parameters ||
                    command.kind == CommandKind::execute;
  return runs && !tag.empty() && !ends_transaction(verb_of_tag(tag));
}

}  // namespace

void Session::result(const Event& event) {
  Command* oldest = queue_.empty() || event.unannounced ? nullptr : &queue_.front();
  if (is_copy(event.status)) return copy_begins(oldest, event);
  if (is_partial(event.status)) return;
  close(std::exchange(copy_, 0), event.at_ns);
  if (event.status == ResultStatus::pipeline_sync) {  // which brings nothing else
    complete_oldest(event.at_ns);
    return settle(event.transaction, event.at_ns);
  }
  if (event.status == ResultStatus::pipeline_aborted) return;
  if (oldest != nullptr && !std::exchange(oldest->answered, true)) {
    first_answer(*oldest, event.at_ns);
  }
  if (is_error(event.status)) return failed(oldest);
  succeeded(oldest, event);
}

/// libpq gives this result again and again until the COPY is over.
void Session::copy_begins(const Command* command, const Event& event) {
  if (copy_ != 0) return;
  if (command == nullptr || command->kind == CommandKind::unknown) {
    ++context_->losses.undecided;
    return;
  }
  const SharedText sql =
      command->sql ? context_->cache.shown(*command->sql, command->next_statement) : SharedText();
  copy_ = open(model::Kind::pg_copy, {.stack = command->stack, .sql = sql, .at_ns = event.at_ns},
               {.state = copy_state(event.status)});
}

/// The server drops its unnamed statement before it reads the SQL of these, good or bad.
void Session::first_answer(Command& command, std::uint64_t at_ns) {
  const bool drops = command.kind == CommandKind::query ||
                     command.kind == CommandKind::parameters ||
                     (command.kind == CommandKind::prepare && command.name.empty());
  if (!drops) return;
  close_statement("", at_ns, false);
  last_parameters_ = command.kind == CommandKind::parameters ? command.sql : nullptr;
}

/// The statement that the next result of the command is of, when that is known.
const Statement* Session::statement_of(const Command& command) const {
  static const Statement kNothing;
  if (command.kind == CommandKind::execute) {
    const auto found = statements_.find(command.name);
    return found == statements_.end() ? nullptr : &holder_.open.at(found->second).executes;
  }
  if (command.kind != CommandKind::query && command.kind != CommandKind::parameters) {
    return nullptr;
  }
  if (!command.sql->matters()) return &kNothing;
  const auto& statements = command.sql->parsed().statements;
  return command.next_statement < statements.size() ? &statements[command.next_statement] : nullptr;
}

void Session::failed(const Command* command) {
  transaction_.failed = true;
  if (command == nullptr || !transaction_.is_explicit) return;
  // Where the grammar refuses the text, the server may have refused to read it, which leaves the
  // transaction open.
  if (command->sql && !command->sql->parsed().by_grammar) return;
  const Statement* statement = statement_of(*command);
  if (statement == nullptr) return;
  if (statement->verb == Verb::commit || statement->verb == Verb::prepare_transaction) {
    commit_refused_ = true;
  }
}

void Session::succeeded(Command* command, const Event& event) {
  if (command == nullptr) return perform_by_tag(event, false);
  if (proves_health(*command, event.text)) transaction_.failed = false;
  switch (command->kind) {
    case CommandKind::query:
    case CommandKind::parameters:
      return statement_succeeded(*command, event);
    case CommandKind::prepare:
      return prepare_succeeded(*command, event);
    case CommandKind::execute:
      return perform_prepared(command->name, command->stack, event);
    case CommandKind::close_statement:
      // The server takes any name, so one that is unknown says something only where openings may
      // have been missed.
      return close_statement(command->name, event.at_ns, !event.from_start);
    case CommandKind::close_portal:
      return close_cursor(command->name, event.at_ns, !event.from_start);
    case CommandKind::describe:
    case CommandKind::sync:
      return;
    case CommandKind::unknown:
      return perform_by_tag(event, false);
  }
}

void Session::statement_succeeded(Command& command, const Event& event) {
  count_unparsed(command);
  const Statement* statement = statement_of(command);
  const std::size_t index = command.next_statement++;
  const bool unread = event.status == ResultStatus::unknown && event.text.empty();
  if (statement != nullptr && statement->verb == Verb::execute && !unread) {
    return perform_prepared(statement->name, command.stack, event);
  }
  if (statement == nullptr || unread || !agrees(statement->verb, event.text)) {
    return perform_by_tag(event, command.sql->matters());
  }
  if (statement->verb == Verb::other) return;
  const bool alone = !event.pipeline && command.sql->parsed().statements.size() == 1;
  perform(*statement, {.stack = command.stack,
                       .sql = context_->cache.shown(*command.sql, index),
                       .at_ns = event.at_ns,
                       .tag = event.text,
                       .alone = alone});
}

void Session::prepare_succeeded(Command& command, const Event& event) {
  count_unparsed(command);
  if (event.status == ResultStatus::unknown) {
    ++context_->losses.undecided;
    return;
  }
  const auto& statements = command.sql->parsed().statements;
  Statement executes = statements.empty() ? Statement{} : statements.front();
  executes.text = {};  // it goes with the SqlText
  open_statement(
      command.name,
      {.stack = command.stack, .sql = context_->cache.shown(*command.sql, 0), .at_ns = event.at_ns},
      std::move(executes));
}

/// SQL's PREPARE takes queries only, but the protocol takes any statement, and either executes it.
void Session::perform_prepared(const std::string& name, model::StackId stack, const Event& event) {
  const auto prepared = prepared_as(name);  // a copy: DEALLOCATE may free it
  if (!prepared || !agrees(prepared->executes.verb, event.text)) {
    return perform_by_tag(event, false);
  }
  perform(prepared->executes, {.stack = stack,
                               .sql = prepared->sql,
                               .at_ns = event.at_ns,
                               .tag = event.text,
                               .alone = !event.pipeline});
}

/// PQexecParams leaves its SQL behind as the unnamed statement; it is nothing that the program has
/// opened, but can be executed again.
std::optional<Session::Prepared> Session::prepared_as(const std::string& name) const {
  if (const auto found = statements_.find(name); found != statements_.end()) {
    const Open& open = holder_.open.at(found->second);
    return Prepared{open.executes, open.sql};
  }
  if (!name.empty() || last_parameters_ == nullptr) return std::nullopt;
  const auto& statements = last_parameters_->parsed().statements;
  return Prepared{statements.empty() ? Statement{} : statements.front(),
                  context_->cache.shown(*last_parameters_, 0)};
}

void Session::count_unparsed(Command& command) {
  const SqlText& sql = *command.sql;
  if (sql.cut() || sql.parsed().by_grammar) return;
  if (!std::exchange(command.counted_unparsed, true)) ++context_->losses.unparsed;
}

}  // namespace leaktrace::postgres
