// SPDX-License-Identifier: Apache-2.0
// What a client did with its connections, as seen at the functions of libpq. The session state
// machine (sessions.h) is fed with these, from a live trace or from a log (event_log.h).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include "user/model/ids.h"

namespace leaktrace::postgres {

/// A connection object of a client: the PGconn of an image. PQfinish ends it, and the handle may
/// be used again for another.
struct ConnectionKey {
  model::ImageId image;
  std::uint64_t handle = 0;
  auto operator<=>(const ConnectionKey&) const = default;
};

enum class EventType : std::uint8_t {
  connected = 1,  ///< where the connection leads: host, port, database, user
  command = 2,    ///< a command was put into the connection's queue
  withdrawn = 3,  ///< the newest command of the queue could not be sent after all
  result = 4,     ///< a result that the oldest command of the queue has brought
  done = 5,       ///< the oldest command has brought all its results
  reset = 6,      ///< PQreset, PQresetStart: the server's session ended, the object lives on
  finished = 7,   ///< PQfinish
  pipeline_entered = 8,
  pipeline_left = 9,
  row_mode = 10,  ///< results of the newest command come row by row (name "single" or "chunked")
  large_object_opened = 11,  ///< `value`: its descriptor
  large_object_closed = 12,
  example = 13,  ///< `text`: the SQL whose results are acquired at `stack`
};

/// How a command was sent.
enum class CommandKind : std::uint8_t {
  query = 1,            ///< the simple protocol: PQexec, PQsendQuery; any number of statements
  parameters = 2,       ///< PQexecParams, PQsendQueryParams: one statement; drops the unnamed one
  prepare = 3,          ///< PQprepare, PQsendPrepare: `name` may be empty, `text` is its SQL
  execute = 4,          ///< PQexecPrepared, PQsendQueryPrepared of `name`
  describe = 5,         ///< changes nothing
  close_statement = 6,  ///< PQclosePrepared, PQsendClosePrepared of `name`
  close_portal = 7,     ///< PQclosePortal, PQsendClosePortal of `name`: closes the cursor
  sync = 8,             ///< PQpipelineSync, PQsendPipelineSync: the end of a pipeline's transaction
  unknown = 9,          ///< one that changes nothing that is tracked, and was not reported
};

/// ExecStatusType of libpq (libpq-fe.h), which keeps its numbers.
enum class ResultStatus : std::uint8_t {
  empty_query = 0,
  command_ok = 1,
  tuples_ok = 2,
  copy_out = 3,
  copy_in = 4,
  bad_response = 5,
  nonfatal_error = 6,
  fatal_error = 7,
  copy_both = 8,
  single_tuple = 9,
  pipeline_sync = 10,
  pipeline_aborted = 11,
  tuples_chunk = 12,
  unknown = 255,  ///< it could not be read
};

/// PGTransactionStatusType of libpq: the server's word of the end of the last command.
enum class TransactionStatus : std::uint8_t {
  idle = 0,
  active = 1,
  in_transaction = 2,
  failed = 3,  ///< in a transaction that can only be rolled back
  unknown = 4,
};

struct Event {
  EventType type = EventType::command;
  ConnectionKey connection;
  std::uint64_t at_ns = 0;  ///< the trace's time
  /// Where in the program: of `connected` when it was made, of commands, `pipeline_entered`,
  /// `row_mode`, `large_object_opened`, `example`.
  model::StackId stack{};

  CommandKind command = CommandKind::query;
  /// Of a command: those before it in the queue whose results are not all there yet. Commands that
  /// change nothing (a SELECT) are not reported; this says how many of them wait before this one.
  std::uint32_t ahead = 0;
  std::string name;
  std::string text;  ///< SQL; of a result its command tag ("DECLARE CURSOR")
  bool cut = false;  ///< the text goes on, but was not read: it is longer than the limit
  /// Of a result: no command of the queue was reported that it can belong to. What it means is
  /// known by its tag alone; `text` is the tag, `name` empty.
  bool unannounced = false;

  ResultStatus status = ResultStatus::unknown;                 ///< of a result
  TransactionStatus transaction = TransactionStatus::unknown;  ///< of `done`; see `pipeline`
  bool broken = false;      ///< of `done`: CONNECTION_BAD, so the server's session is over
  bool pipeline = false;    ///< of `done` and `result`: in pipeline mode, where only the result
                            ///< pipeline_sync ends a transaction and brings a new `transaction`
  bool lost = false;        ///< events of this connection were lost before this one
  bool unobserved = false;  ///< nobody looked for a time before this event. Of a command its
                            ///< `transaction` then is the server's word before it
  bool from_start = false;  ///< of any: all events since the connection was made have been seen

  std::string host, port, database, user;  ///< of `connected`; never the password
  std::int64_t value = 0;
  bool operator==(const Event&) const = default;
};

}  // namespace leaktrace::postgres
