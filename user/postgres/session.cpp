// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/session.h"

#include <algorithm>
#include <utility>

#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostQueued = 65536;
/// NAMEDATALEN - 1: the server keeps names in tables with keys of that size.
constexpr std::size_t kMostNameBytes = 63;

bool has_sql(CommandKind kind) {
  return kind == CommandKind::query || kind == CommandKind::parameters ||
         kind == CommandKind::prepare;
}

/// May its success change what is open?
bool matters(const Command& command) {
  switch (command.kind) {
    case CommandKind::query:
    case CommandKind::parameters:
      return command.sql->matters();
    case CommandKind::prepare:
    case CommandKind::execute:
    case CommandKind::close_statement:
    case CommandKind::close_portal:
      return true;
    default:
      return false;
  }
}

}  // namespace

Session::Session(const ConnectionKey& key, std::uint64_t at_ns, bool from_start,
                 SessionContext& context)
    : context_(&context), key_(key), transaction_known_(from_start) {
  described_.image = key.image;
  described_.handle = key.handle;
  described_.since_ns = at_ns;
  described_.state_since_ns = at_ns;
  update_words();
}

void Session::update_words() {
  holder_.words = std::make_shared<const std::string>(model::connection_words(described_));
}

void Session::apply(const Event& event) {
  described_.from_start = event.from_start;
  if (event.unobserved) {
    unobserved(event);
  } else if (event.lost) {
    events_lost(event.at_ns);
    ++context_->losses.undecided;
  }
  dispatch(event);
  catching_up_ = false;
  const model::ConnectionState now = state();
  if (now != described_.state) {
    described_.state = now;
    described_.state_since_ns = event.at_ns;
  }
}

void Session::dispatch(const Event& event) {
  switch (event.type) {
    case EventType::connected:
      return connected(event);
    case EventType::command:
      return command(event);
    case EventType::withdrawn:
      return withdraw(event.at_ns);
    case EventType::result:
      return result(event);
    case EventType::done:
      return done(event);
    case EventType::reset:
      return end_server_session(event.at_ns);
    case EventType::pipeline_entered:
      if (pipeline_ == 0) {
        pipeline_ = open(model::Kind::pg_copy, {.stack = event.stack, .at_ns = event.at_ns},
                         {.state = "pipeline"});
      }
      return;
    case EventType::pipeline_left:
      return close(std::exchange(pipeline_, 0), event.at_ns);
    case EventType::row_mode:
      return row_mode(event);
    case EventType::large_object_opened:
      return open_large_object(event);
    case EventType::large_object_closed:
      return close_large_object(event);
    case EventType::finished:
    case EventType::example:
      return;
  }
}

void Session::connected(const Event& event) {
  // A handle that is new although something is open on it: its PQfinish was not seen.
  if (event.value != 0) {
    if (!holder_.open.empty()) end_server_session(event.at_ns);
    described_.since_ns = event.at_ns;
  }
  broken_ = false;
  transaction_known_ = transaction_known_ || event.from_start;
  described_.host = event.host;
  described_.port = event.port;
  described_.database = event.database;
  described_.user = event.user;
  update_words();
}

void Session::command(const Event& event) {
  Command made;
  made.kind = event.command;
  made.stack = event.stack;
  made.name = event.name.substr(0, kMostNameBytes);
  if (has_sql(event.command)) made.sql = context_->cache.get(event.text, event.cut);
  if (event.cut) ++context_->losses.text_cut;
  while (queued_ > event.ahead) drop_oldest(event.at_ns);
  enqueue(std::move(made), event.ahead);
  while (queue_.size() > kMostQueued) drop_oldest(event.at_ns);
}

/// Puts a command behind `ahead` others. Those of them that are not known were not reported because
/// they change nothing, and came after all that are known.
void Session::enqueue(Command command, std::uint64_t ahead) {
  if (queued_ < ahead) {
    Command placeholder;
    placeholder.count = ahead - queued_;
    queue_.push_back(std::move(placeholder));
    queued_ = ahead;
  }
  queue_.push_back(std::move(command));
  ++queued_;
}

/// Its results were not seen.
void Session::drop_oldest(std::uint64_t at_ns) {
  if (matters(queue_.front())) ++context_->losses.undecided;
  complete_oldest(at_ns);
}

void Session::withdraw(std::uint64_t at_ns) {
  if (queue_.empty()) return;
  Command& newest = queue_.back();
  close(newest.row_mode, at_ns);
  newest.row_mode = 0;
  --queued_;
  if (--newest.count == 0) queue_.pop_back();
}

void Session::complete_oldest(std::uint64_t at_ns) {
  if (queue_.empty()) return;
  Command& oldest = queue_.front();
  close(oldest.row_mode, at_ns);
  oldest.row_mode = 0;
  --queued_;
  if (--oldest.count == 0) queue_.pop_front();
}

void Session::done(const Event& event) {
  close(std::exchange(copy_, 0), event.at_ns);
  complete_oldest(event.at_ns);
  if (event.broken) {
    end_server_session(event.at_ns);
    broken_ = true;
  } else if (!event.pipeline) {
    settle(event.transaction, event.at_ns);
  }
}

/// `ahead` is as of a command; a command that was not reported gets a place in the queue.
void Session::row_mode(const Event& event) {
  const std::uint64_t ahead = event.ahead;
  if (queued_ <= ahead) enqueue({}, ahead);
  Command* newest = &queue_.back();
  if (newest->count > 1) {  // the last of the placeholders gets a place of its own
    --newest->count;
    queue_.emplace_back();
    newest = &queue_.back();
  }
  if (newest->row_mode != 0) return;
  newest->row_mode = open(model::Kind::pg_copy, {.stack = event.stack, .at_ns = event.at_ns},
                          {.state = event.name == "chunked" ? "chunked rows" : "single rows"});
}

/// Events are missing: whose results come next is not known, and what is open may be closed.
void Session::events_lost(std::uint64_t at_ns) {
  for (const Command& waiting : queue_) close(waiting.row_mode, at_ns);
  queue_.clear();
  queued_ = 0;
  rollback_doubtful_ = commit_refused_ = false;
}

/// The same, known beforehand: how much of the time was observed is said once for the whole trace.
/// That a transaction is open now says that it may be the one that was open before.
void Session::unobserved(const Event& event) {
  catching_up_ = true;
  events_lost(event.at_ns);
  transaction_.savepoints.clear();  // perhaps of another transaction
  if (event.type == EventType::command) settle(event.transaction, event.at_ns);
  // What is executed now is of this time; an end that is told of is of before.
  catching_up_ = event.type == EventType::done;
}

void Session::end_server_session(std::uint64_t at_ns) {
  queue_.clear();
  queued_ = 0;
  transaction_ = {};
  transaction_known_ = true;
  commit_refused_ = rollback_doubtful_ = broken_ = false;
  while (!holder_.open.empty()) {
    context_->holdings.release(holder_, holder_.open.begin()->first, at_ns);
  }
  statements_.clear();
  last_parameters_.reset();
  cursors_.clear();
  large_objects_.clear();
  copy_ = pipeline_ = 0;
}

model::ConnectionState Session::state() const {
  if (broken_) return model::ConnectionState::broken;
  if (!queue_.empty()) return model::ConnectionState::active;
  if (transaction_.is_explicit) {
    return transaction_.failed ? model::ConnectionState::failed
                               : model::ConnectionState::in_transaction;
  }
  return transaction_known_ ? model::ConnectionState::idle : model::ConnectionState::unknown;
}

model::Connection Session::describe() const {
  model::Connection connection = described_;
  connection.transaction_since_ns = transaction_.is_explicit ? transaction_.since_ns : 0;
  connection.open_count = holder_.open.size();
  connection.open_by_kind = holder_.by_kind;
  for (const auto& [number, resource] : holder_.open) {
    if (connection.open.size() == model::kMostOpenListed) break;
    model::OpenResource& listed = connection.open.emplace_back();
    listed.kind = resource.key.kind;
    listed.name = clipped_utf8(resource.name, 3 * kMostNameBytes);
    if (resource.sql) listed.sql = *resource.sql;
    listed.state = resource.hold ? "with hold" : resource.state;
    listed.since_ns = resource.since_ns;
    listed.stack = resource.key.stack;
  }
  return connection;
}

void Session::add_stacks_in_use(std::unordered_set<model::StackId>& stacks) const {
  for (const Command& waiting : queue_) stacks.insert(waiting.stack);
  for (const auto& [number, resource] : holder_.open) stacks.insert(resource.key.stack);
}

}  // namespace leaktrace::postgres
