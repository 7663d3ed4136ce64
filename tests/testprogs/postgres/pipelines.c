/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline mode: entered and left, and what is prepared and declared in it. */
#include "scenarios.h"

static void send(PGconn* connection, const char* text) {
  MUST(PQsendQueryParams(connection, text, 0, NULL, NULL, NULL, NULL, 0), connection);
}

static void send_prepare(PGconn* connection, const char* name, const char* text) {
  MUST(PQsendPrepare(connection, name, text, 0, NULL), connection);
}

/* Takes what a pipeline brings, to its last sync. */
static void take_syncs(PGconn* connection, int syncs) {
  for (int empty = 0; syncs > 0;) {
    PGresult* result = PQgetResult(connection);
    empty = result == NULL ? empty + 1 : 0;
    MUST(empty < 3, connection);
    if (result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC) --syncs;
    PQclear(result);
  }
}

static void enter(PGconn* connection) {
  MUST(PQenterPipelineMode(connection), connection);
}

static void sync_and_leave(PGconn* connection) {
  MUST(PQpipelineSync(connection), connection);
  take_syncs(connection, 1);
  MUST(PQexitPipelineMode(connection), connection);
}

SITE static void keep_pipeline(PGconn* connection) {
  enter(connection);
  HOLDS(COPY, 1);
}

SITE static void keep_pipeline_with_work(PGconn* connection) {
  enter(connection);
  enter(connection); /* changes nothing */
  send(connection, "SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  MUST(!PQexitPipelineMode(connection), connection); /* there are results to take */
  PQclear(PQgetResult(connection));
  HOLDS(COPY, 1);
}

SITE static void release_pipeline(PGconn* connection) {
  enter(connection);
  MUST(PQexitPipelineMode(connection), connection);
  enter(connection);
  send(connection, "SELECT 1");
  sync_and_leave(connection);
  HOLDS(COPY, 0);
}

SITE static void release_pipeline_by_finish(void) {
  PGconn* connection = open_session();
  enter(connection);
  send(connection, "SELECT 1");
  close_session(connection);
  HOLDS(COPY, 0);
}

SITE static void release_pipeline_by_reset(PGconn* connection) {
  enter(connection);
  PQreset(connection);
  MUST(PQpipelineStatus(connection) == PQ_PIPELINE_OFF, connection);
  HOLDS(COPY, 0);
}

static void pipeline_modes(void) {
  keep_pipeline(open_session());
  keep_pipeline_with_work(open_session());
  PGconn* connection = open_session();
  release_pipeline(connection);
  release_pipeline_by_reset(connection);
  release_pipeline_by_finish();
}

/* ---- What is opened in one ------------------------------------------------------------------ */

SITE static void keep_of_pipeline(PGconn* connection) {
  enter(connection);
  send_prepare(connection, "p1", "SELECT 1");
  send(connection, "DECLARE c1 CURSOR WITH HOLD FOR SELECT 1");
  send(connection, "PREPARE p2 AS SELECT 1");
  send_prepare(connection, "p3", "SELECT 1");
  send(connection, "DEALLOCATE p3");
  sync_and_leave(connection);
  HOLDS(STATEMENT, 2);
  HOLDS(CURSOR, 1);
}

/* A transaction that goes on after the pipeline. */
SITE static void keep_in_transaction(PGconn* connection) {
  enter(connection);
  send(connection, "BEGIN");
  send(connection, "DECLARE t1 CURSOR FOR SELECT 1");
  send(connection, "SAVEPOINT s");
  send(connection, "DECLARE t2 CURSOR FOR SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  send(connection, "ROLLBACK TO s");
  send(connection, "DECLARE t3 CURSOR FOR SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  take_syncs(connection, 2);
  MUST(PQexitPipelineMode(connection), connection);
  HOLDS(CURSOR, 2);
}

SITE static void leak_results_of_pipeline(PGconn* connection) {
  enter(connection);
  for (int i = 0; i < 3; ++i) send(connection, "SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  for (int i = 0; i < 3; ++i) {
    MUST(PQgetResult(connection) != NULL, connection);
    MUST(PQgetResult(connection) == NULL, connection);
  }
  MUST(PQresultStatus(PQgetResult(connection)) == PGRES_PIPELINE_SYNC, connection);
  MUST(PQexitPipelineMode(connection), connection);
  HOLDS(RESULT, 4);
}

static void pipeline_opens(void) {
  PGconn* connection = open_session();
  keep_of_pipeline(connection);
  leak_results_of_pipeline(connection);
  keep_in_transaction(connection);
}

/* The pipeline is one transaction to its sync: the error undoes the cursor, but what was prepared
 * before it stays; what comes after it up to the sync never runs. */
SITE static void keep_around_error(PGconn* connection) {
  enter(connection);
  send_prepare(connection, "before", "SELECT 1");
  send(connection, "DECLARE undone CURSOR WITH HOLD FOR SELECT 1");
  send(connection, "SELECT 1/0");
  send_prepare(connection, "aborted", "SELECT 1");
  send(connection, "DECLARE aborted CURSOR WITH HOLD FOR SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  send_prepare(connection, "after", "SELECT 1");
  send(connection, "DECLARE after CURSOR WITH HOLD FOR SELECT 1");
  MUST(PQpipelineSync(connection), connection);
  take_syncs(connection, 2);
  MUST(PQexitPipelineMode(connection), connection);
  HOLDS(STATEMENT, 2);
  HOLDS(CURSOR, 1);
}

/* An error within a transaction that began in the pipeline. */
SITE static void release_in_failed(PGconn* connection) {
  enter(connection);
  send(connection, "BEGIN");
  send(connection, "DECLARE plain CURSOR FOR SELECT 1");
  send(connection, "SELECT 1/0");
  send(connection, "COMMIT"); /* never runs */
  MUST(PQpipelineSync(connection), connection);
  take_syncs(connection, 1);
  send(connection, "ROLLBACK");
  sync_and_leave(connection);
  MUST(PQtransactionStatus(connection) == PQTRANS_IDLE, connection);
  HOLDS(CURSOR, 0);
}

static void pipeline_aborted(void) {
  PGconn* connection = open_session();
  keep_around_error(connection);
  release_in_failed(connection);
}

const struct scenario pipeline_scenarios[] = {{"pipeline_modes", pipeline_modes},
                                              {"pipeline_opens", pipeline_opens},
                                              {"pipeline_aborted", pipeline_aborted},
                                              {NULL, NULL}};
