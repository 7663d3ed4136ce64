// SPDX-License-Identifier: Apache-2.0
#include "random_session.h"

#include "pg_client.h"

namespace {

void stay_silent(void* /*unused*/, const char* /*message*/) {}

}  // namespace

RandomSession::RandomSession(Dice& dice, std::FILE* log) : dice_(dice), sql_(dice), log_(log) {
  connect();
}

RandomSession::~RandomSession() {
  PQfinish(connection_);
}

void RandomSession::connect() {
  connection_ = PQconnectdb(conninfo);
  MUST(PQstatus(connection_) == CONNECTION_OK, connection_);
  PQsetNoticeProcessor(connection_, stay_silent, nullptr);
  if (log_ != nullptr) PQtrace(connection_, log_);
  PQclear(PQexec(connection_, "CREATE TEMP TABLE IF NOT EXISTS numbers (n int)"));
  mode_ = Mode::plain;
  syncs_ = commands_ = 0;
}

RandomSql::Transaction RandomSession::transaction() const {
  switch (PQtransactionStatus(connection_)) {
    case PQTRANS_INERROR:
      return RandomSql::Transaction::failed;
    case PQTRANS_INTRANS:
      return RandomSql::Transaction::open;
    default:
      return RandomSql::Transaction::none;
  }
}

/// In whatever mode it is, with all that it has open.
void RandomSession::reconnect() {
  switch (dice_.below(3)) {
    case 0:
      PQfinish(connection_);
      connect();
      break;
    case 1: {
      PGconn* old = connection_;
      connect();
      PQfinish(old);
      break;
    }
    default:
      PQreset(connection_);
      MUST(PQstatus(connection_) == CONNECTION_OK, connection_);
      PQclear(PQexec(connection_, "CREATE TEMP TABLE IF NOT EXISTS numbers (n int)"));
      mode_ = Mode::plain;
      syncs_ = commands_ = 0;
  }
}

void RandomSession::step() {
  if (dice_.one_in(400)) return reconnect();
  switch (mode_) {
    case Mode::plain:
      return plain_step();
    case Mode::sent:
      return leave_mode();
    case Mode::pipeline:
      return pipeline_step();
    case Mode::copy_in:
    case Mode::copy_out:
      return copy_step();
  }
}

void RandomSession::drain() {
  for (PGresult* result; (result = PQgetResult(connection_)) != nullptr;) PQclear(result);
}

// ---- One command at a time ----------------------------------------------------------------------

void RandomSession::plain_step() {
  const std::size_t side = dice_.below(100);
  if (side < 60) return run_statement();
  if (side < 70) return prepare();
  if (side < 81) return run_prepared();
  if (side < 84) return describe();
  if (side < 92) return send(dice_.one_in(2));
  if (side < 95) return begin_copy();
  if (side < 96) return PQfinish(PQconnectdb("host=/nonexistent/leaktrace user=nobody"));
  MUST(PQenterPipelineMode(connection_), connection_);
  mode_ = Mode::pipeline;
}

void RandomSession::run_statement() {
  if (dice_.one_in(3)) return PQclear(PQexec(connection_, sql_.several(transaction()).c_str()));
  const std::string text = sql_.statement(transaction());
  switch (dice_.below(4)) {
    case 0:
    case 1:
      return PQclear(PQexec(connection_, text.c_str()));
    case 2:
      return PQclear(PQexecParams(connection_, text.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                                  static_cast<int>(dice_.below(2))));
    default:
      PQsendQueryParams(connection_, text.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
      return drain();
  }
}

/// Named or not; of a name that is there already it fails.
void RandomSession::prepare() {
  const bool ends = dice_.one_in(6);
  const std::string text = ends ? sql_.transaction_statement(transaction()) : sql_.preparable();
  std::string name = ends ? sql_.transaction_statement_name() : sql_.new_statement();
  if (dice_.one_in(6)) name.clear();
  if (dice_.one_in(2))
    return PQclear(PQprepare(connection_, name.c_str(), text.c_str(), 0, nullptr));
  PQsendPrepare(connection_, name.c_str(), text.c_str(), 0, nullptr);
  drain();
}

void RandomSession::run_prepared() {
  std::string name = sql_.some_statement();
  if (dice_.one_in(8)) name = sql_.transaction_statement_name();
  if (dice_.one_in(8)) name.clear();
  if (dice_.one_in(2)) {
    return PQclear(PQexecPrepared(connection_, name.c_str(), 0, nullptr, nullptr, nullptr, 0));
  }
  PQsendQueryPrepared(connection_, name.c_str(), 0, nullptr, nullptr, nullptr, 0);
  drain();
}

void RandomSession::describe() {
  if (dice_.one_in(2)) {
    PQclear(PQdescribePrepared(connection_, sql_.some_statement().c_str()));
  } else {
    PQclear(PQdescribePortal(connection_, sql_.some_cursor().c_str()));
  }
}

/// Leaves the results for later.
void RandomSession::send(bool row_by_row) {
  MUST(PQsendQuery(connection_, sql_.several(transaction()).c_str()), connection_);
  if (row_by_row) MUST(PQsetSingleRowMode(connection_), connection_);
  for (std::size_t left = dice_.below(4); left > 0; --left) PQclear(PQgetResult(connection_));
  mode_ = Mode::sent;
}

// ---- Pipelines
// ------------------------------------------------------------------------------------

void RandomSession::pipeline_step() {
  if (dice_.one_in(6)) return leave_pipeline();
  if (dice_.one_in(4)) return sync();
  if (syncs_ > 0 && dice_.one_in(4)) return take_syncs(1);
  pipeline_command();
}

void RandomSession::pipeline_command() {
  ++commands_;
  switch (dice_.below(6)) {
    case 0:
      MUST(PQsendPrepare(connection_, sql_.new_statement().c_str(), sql_.preparable().c_str(), 0,
                         nullptr),
           connection_);
      break;
    case 1:
      MUST(PQsendQueryPrepared(connection_, sql_.some_statement().c_str(), 0, nullptr, nullptr,
                               nullptr, 0),
           connection_);
      break;
    default:
      MUST(PQsendQueryParams(connection_, sql_.statement(transaction()).c_str(), 0, nullptr,
                             nullptr, nullptr, nullptr, 0),
           connection_);
  }
}

void RandomSession::sync() {
  MUST(PQpipelineSync(connection_), connection_);
  ++syncs_;
  commands_ = 0;
}

/// Takes results up to so many syncs.
void RandomSession::take_syncs(int most) {
  for (int without = 0; most > 0 && syncs_ > 0;) {
    PGresult* result = PQgetResult(connection_);
    without = result == nullptr ? without + 1 : 0;
    MUST(without < 3, connection_);
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
      --most;
      --syncs_;
    }
    PQclear(result);
  }
}

void RandomSession::leave_pipeline() {
  if (commands_ > 0) sync();
  take_syncs(syncs_);
  MUST(PQexitPipelineMode(connection_), connection_);
  mode_ = Mode::plain;
}

// ---- COPY
// -----------------------------------------------------------------------------------------

void RandomSession::begin_copy() {
  constexpr const char* kTexts[] = {
      "COPY numbers FROM STDIN", "COPY (SELECT generate_series(1, 20)) TO STDOUT",
      "COPY no_such_table FROM STDIN",
      "DECLARE copied CURSOR WITH HOLD FOR SELECT 1; COPY numbers FROM STDIN; CLOSE copied"};
  PGresult* result = PQexec(connection_, dice_.pick(kTexts));
  if (PQresultStatus(result) == PGRES_COPY_IN) mode_ = Mode::copy_in;
  if (PQresultStatus(result) == PGRES_COPY_OUT) mode_ = Mode::copy_out;
  PQclear(result);
}

void RandomSession::copy_step() {
  if (dice_.one_in(3)) return end_copy();
  if (mode_ == Mode::copy_in) {
    const char* row = dice_.one_in(10) ? "no number\n" : "1\n";
    MUST(PQputCopyData(connection_, row, static_cast<int>(std::string(row).size())) == 1,
         connection_);
    return;
  }
  char* row = nullptr;
  if (PQgetCopyData(connection_, &row, 0) <= 0) return end_copy();
  PQfreemem(row);
}

/// By its rules, or by just another query.
void RandomSession::end_copy() {
  if (dice_.one_in(4)) {
    PQclear(PQexec(connection_, sql_.statement(transaction()).c_str()));
  } else if (mode_ == Mode::copy_in) {
    PQputCopyEnd(connection_, dice_.one_in(3) ? "given up" : nullptr);
  } else {
    for (char* row = nullptr; PQgetCopyData(connection_, &row, 0) > 0;) PQfreemem(row);
  }
  drain();
  mode_ = Mode::plain;
}

// ---- Settling
// -------------------------------------------------------------------------------------

void RandomSession::leave_mode() {
  if (mode_ == Mode::pipeline) leave_pipeline();
  if (mode_ == Mode::copy_in || mode_ == Mode::copy_out) end_copy();
  drain();
  mode_ = Mode::plain;
}

void RandomSession::settle() {
  leave_mode();
  const bool failed = PQtransactionStatus(connection_) == PQTRANS_INERROR;
  if (failed && !dice_.one_in(3)) PQclear(PQexec(connection_, "ROLLBACK"));
}
