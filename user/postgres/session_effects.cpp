// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "user/postgres/command_tag.h"
#include "user/postgres/session.h"

namespace leaktrace::postgres {

void Session::perform(const Statement& statement, const Cause& cause) {
  switch (statement.verb) {
    case Verb::other:
    case Verb::execute:  // perform_prepared()
    case Verb::copy:
      return;
    case Verb::begin:
      return begin(cause.at_ns);
    case Verb::commit:
    case Verb::prepare_transaction: {
      const bool rolled_back = cause.tag.empty() ? transaction_.failed : cause.tag == "ROLLBACK";
      return end_transaction(!rolled_back, cause.at_ns);
    }
    case Verb::rollback:
      return end_transaction(false, cause.at_ns);
    case Verb::savepoint:
      if (!transaction_.is_explicit) begin(cause.at_ns);  // which the server would insist on
      return set_savepoint(statement.name);
    case Verb::release:
      return release_savepoint(statement.name);
    case Verb::rollback_to:
      return roll_back_to(statement.name, cause.at_ns);
    case Verb::declare:
      return declare(statement, cause);
    case Verb::close:
      return close_cursor(statement.name, cause.at_ns, true);
    case Verb::close_all:
      return close_all_cursors(cause.at_ns);
    case Verb::prepare:
      return open_statement(statement.name, cause, {});
    case Verb::deallocate:
      return close_statement(statement.name, cause.at_ns, true);
    case Verb::deallocate_all:
      return deallocate_all(cause.at_ns);
    case Verb::discard_all:
      end_transaction(!transaction_.failed, cause.at_ns);
      close_all_cursors(cause.at_ns);
      return deallocate_all(cause.at_ns);
  }
}

/// What a result does whose statement is not known. `mattered`: its command could do something.
void Session::perform_by_tag(const Event& event, bool mattered) {
  const Verb verb = verb_of_tag(event.text);
  switch (verb) {
    case Verb::other:
      if (mattered && event.text.empty() && event.status == ResultStatus::unknown) {
        ++context_->losses.undecided;
      }
      return;
    case Verb::begin:
      // After a ROLLBACK to a savepoint BEGIN would be no more than a warning.
      if (std::exchange(rollback_doubtful_, false)) end_transaction(false, event.at_ns);
      return begin(event.at_ns);
    case Verb::rollback:
      rollback_doubtful_ = true;
      return;
    case Verb::savepoint:
    case Verb::release:
      return count_undecided_if_held();
    case Verb::declare:
    case Verb::close:
    case Verb::prepare:
    case Verb::deallocate:
      ++context_->losses.undecided;
      return;
    default:
      return perform({.verb = verb}, {.at_ns = event.at_ns, .tag = event.text});
  }
}

void Session::declare(const Statement& statement, const Cause& cause) {
  close_named(cursors_, statement.name, cause.at_ns, false);  // that it was closed was not seen
  if (cause.alone && !statement.hold && !transaction_known_) begin(cause.at_ns);
  const std::uint64_t number =
      open(model::Kind::pg_cursor, cause, {.name = statement.name, .hold = statement.hold});
  if (number == 0) return;
  cursors_[statement.name] = number;
  transaction_.resources.insert(number);
}

/// A name that is open already was closed unseen, or is the unnamed one, which is replaced.
void Session::open_statement(const std::string& name, const Cause& cause, Statement executes) {
  close_statement(name, cause.at_ns, false);
  const std::uint64_t number =
      open(model::Kind::pg_statement, cause, {.name = name, .executes = std::move(executes)});
  if (number != 0) statements_[name] = number;
}

/// `certain`: the server would have refused to close what does not exist.
void Session::close_named(std::unordered_map<std::string, std::uint64_t>& names,
                          const std::string& name, std::uint64_t at_ns, bool certain) {
  const auto found = names.find(name);
  if (found != names.end()) {
    close(found->second, at_ns);
  } else if (certain && !holder_.table_full) {
    ++context_->losses.unmatched_close;
  }
}

void Session::close_cursor(const std::string& name, std::uint64_t at_ns, bool certain) {
  close_named(cursors_, name, at_ns, certain);
}

void Session::close_statement(const std::string& name, std::uint64_t at_ns, bool certain) {
  close_named(statements_, name, at_ns, certain);
}

SharedText Session::sql_of_statement(const std::string& name) const {
  const auto found = statements_.find(name);
  return found == statements_.end() ? SharedText() : holder_.open.at(found->second).sql;
}

void Session::close_all_cursors(std::uint64_t at_ns) {
  while (!cursors_.empty()) close(cursors_.begin()->second, at_ns);
}

void Session::deallocate_all(std::uint64_t at_ns) {
  const auto unnamed = statements_.extract(std::string());
  while (!statements_.empty()) close(statements_.begin()->second, at_ns);
  if (unnamed) statements_.emplace(std::string(), unnamed.mapped());
}

/// lo_open outside of a transaction block is a transaction of its own, whose end closes it.
void Session::open_large_object(const Event& event) {
  if (const auto old = large_objects_.find(event.value); old != large_objects_.end()) {
    close(old->second, event.at_ns);
  }
  const std::uint64_t number =
      open(model::Kind::pg_large_object, {.stack = event.stack, .at_ns = event.at_ns},
           {.name = std::to_string(event.value), .value = event.value});
  if (number == 0) return;
  large_objects_[event.value] = number;
  transaction_.resources.insert(number);
  if (!transaction_.is_explicit && transaction_known_) close(number, event.at_ns);
}

void Session::close_large_object(const Event& event) {
  const auto found = large_objects_.find(event.value);
  if (found != large_objects_.end()) {
    close(found->second, event.at_ns);
  } else if (!holder_.table_full) {
    ++context_->losses.unmatched_close;
  }
}

/// Opens what `resource` says of it, for what `cause` says. 0: there is no room.
std::uint64_t Session::open(model::Kind kind, const Cause& cause, Open resource) {
  resource.key = {cause.stack, key_.image, kind};
  resource.sql = cause.sql;
  resource.since_ns = cause.at_ns;
  return context_->holdings.acquire(holder_, std::move(resource));
}

void Session::close(std::uint64_t number, std::uint64_t at_ns) {
  const auto found = holder_.open.find(number);
  if (found == holder_.open.end()) return;
  const Open& resource = found->second;
  if (resource.key.kind == model::Kind::pg_statement) statements_.erase(resource.name);
  if (resource.key.kind == model::Kind::pg_cursor) cursors_.erase(resource.name);
  if (resource.key.kind == model::Kind::pg_large_object) large_objects_.erase(resource.value);
  transaction_.resources.erase(number);
  context_->holdings.release(holder_, number, at_ns, !catching_up_);
}

}  // namespace leaktrace::postgres
