/* SPDX-License-Identifier: Apache-2.0 */
/* Results: of each function that returns one, kept and cleared. */
#include <poll.h>

#include "scenarios.h"

/* Takes what a site got: it is kept, or cleared. */
typedef void taker(PGconn*, PGresult*);

static void keep(PGconn* connection, PGresult* result) {
  MUST(result != NULL, connection);
}

static void clear(PGconn* connection, PGresult* result) {
  MUST(result != NULL, connection);
  PQclear(result);
}

/* How many of `count` are held then. */
static long held(taker* take, long count) {
  return take == keep ? count : 0;
}

SITE static void exec(PGconn* connection, taker* take) {
  for (int i = 0; i < 3; ++i) take(connection, PQexec(connection, "SELECT 1 AS one"));
  HOLDS(RESULT, held(take, 3));
}

SITE static void exec_params(PGconn* connection, taker* take) {
  static const char* const values[] = {"42"};
  for (int i = 0; i < 2; ++i) {
    take(connection, PQexecParams(connection, "SELECT $1::int", 1, NULL, values, NULL, NULL, 0));
  }
  HOLDS(RESULT, held(take, 2));
}

SITE static void prepare(PGconn* connection, taker* take) {
  take(connection, PQprepare(connection, "plan", "SELECT 1", 0, NULL));
  HOLDS(RESULT, held(take, 1));
}

SITE static void exec_prepared(PGconn* connection, taker* take) {
  for (int i = 0; i < 4; ++i) {
    take(connection, PQexecPrepared(connection, "plan", 0, NULL, NULL, NULL, 0));
  }
  HOLDS(RESULT, held(take, 4));
}

SITE static void describe_prepared(PGconn* connection, taker* take) {
  for (int i = 0; i < 2; ++i) take(connection, PQdescribePrepared(connection, "plan"));
  HOLDS(RESULT, held(take, 2));
}

SITE static void describe_portal(PGconn* connection, taker* take) {
  sql(connection, "BEGIN; DECLARE portal CURSOR FOR SELECT 1");
  take(connection, PQdescribePortal(connection, "portal"));
  sql(connection, "COMMIT");
  HOLDS(RESULT, held(take, 1));
}

/* pg_backend_pid(), by its fixed number. */
SITE static void fn(PGconn* connection, taker* take) {
  int value = 0, length = 0;
  for (int i = 0; i < 2; ++i) {
    take(connection, PQfn(connection, 2026, &value, &length, 1, NULL, 0));
  }
  MUST(value != 0, connection);
  HOLDS(RESULT, held(take, 2));
}

SITE static void get_result(PGconn* connection, taker* take) {
  for (int i = 0; i < 2; ++i) {
    MUST(PQsendQuery(connection, "SELECT 1"), connection);
    take(connection, PQgetResult(connection));
    MUST(PQgetResult(connection) == NULL, connection);
  }
  HOLDS(RESULT, held(take, 2));
}

SITE static void copy_result(PGconn* connection, taker* take) {
  PGresult* first = PQexec(connection, "SELECT generate_series(1, 100)");
  for (int i = 0; i < 3; ++i) take(connection, PQcopyResult(first, PG_COPYRES_TUPLES));
  PQclear(first);
  HOLDS(RESULT, held(take, 3));
}

SITE static void make_empty(PGconn* connection, taker* take) {
  take(connection, PQmakeEmptyPGresult(connection, PGRES_COMMAND_OK));
  take(connection, PQmakeEmptyPGresult(NULL, PGRES_EMPTY_QUERY));
  HOLDS(RESULT, held(take, 2));
}

SITE static void error_result(PGconn* connection, taker* take) {
  take(connection, PQexec(connection, "SELECT 1/0"));
  take(connection, PQexec(connection, "no SQL at all"));
  take(connection, PQprepare(connection, "never", "no SQL at all", 0, NULL));
  take(connection, PQexecPrepared(connection, "unknown", 0, NULL, NULL, NULL, 0));
  take(connection, PQexec(connection, ""));
  HOLDS(RESULT, held(take, 5));
}

static void each_function(taker* take) {
  PGconn* connection = open_session();
  exec(connection, take);
  exec_params(connection, take);
  prepare(connection, take);
  exec_prepared(connection, take);
  describe_prepared(connection, take);
  describe_portal(connection, take);
  fn(connection, take);
  get_result(connection, take);
  copy_result(connection, take);
  make_empty(connection, take);
  error_result(connection, take);
  sql(connection, "DEALLOCATE plan");
}

static void results_kept(void) {
  each_function(keep);
}

static void results_cleared(void) {
  each_function(clear);
}

SITE static void leak_past_finish(PGconn* connection) {
  for (int i = 0; i < 5; ++i) keep(connection, PQexec(connection, "SELECT 1"));
  HOLDS(RESULT, 5);
}

static PGresult* cleared_later[5];

SITE static void release_after_finish(PGconn* connection) {
  for (int i = 0; i < 5; ++i) cleared_later[i] = PQexec(connection, "SELECT 2");
  HOLDS(RESULT, 0);
}

static void results_outlive_connection(void) {
  PGconn* connection = open_session();
  leak_past_finish(connection);
  release_after_finish(connection);
  close_session(connection);
  for (int i = 0; i < 5; ++i) PQclear(cleared_later[i]);
}

/* PQexec returns the last one and clears the others itself. */
SITE static void keep_last_of_string(PGconn* connection) {
  keep(connection, PQexec(connection, "SELECT 1; SELECT 2; SELECT 3"));
  keep(connection, PQexec(connection, "SELECT 1; SELECT 1/0; SELECT 3"));
  HOLDS(RESULT, 2);
}

SITE static void keep_each_of_string(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1; SELECT 2; SELECT 3"), connection);
  for (int i = 0; i < 3; ++i) keep(connection, PQgetResult(connection));
  MUST(PQgetResult(connection) == NULL, connection);
  HOLDS(RESULT, 3);
}

/* What was not fetched is cleared by the next PQexec. */
SITE static void release_unfetched(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1; SELECT 2; SELECT 3"), connection);
  PQclear(PQgetResult(connection));
  sql(connection, "SELECT 4");
  HOLDS(RESULT, 0);
}

static void results_of_strings(void) {
  PGconn* connection = open_session();
  keep_last_of_string(connection);
  keep_each_of_string(connection);
  release_unfetched(connection);
}

/* Reads what comes until a result is there: PQisBusy makes it, PQgetResult only hands it out. */
static void wait_for_result(PGconn* connection) {
  while (PQisBusy(connection)) {
    struct pollfd ready = {PQsocket(connection), POLLIN, 0};
    poll(&ready, 1, 1000);
    MUST(PQconsumeInput(connection), connection);
  }
}

SITE static void keep_polled(PGconn* connection) {
  for (int i = 0; i < 4; ++i) {
    MUST(PQsendQuery(connection, "SELECT generate_series(1, 1000)"), connection);
    wait_for_result(connection);
    keep(connection, PQgetResult(connection));
    wait_for_result(connection);
    MUST(PQgetResult(connection) == NULL, connection);
  }
  HOLDS(RESULT, 4);
}

SITE static void release_polled(PGconn* connection) {
  for (int i = 0; i < 4; ++i) {
    MUST(PQsendQuery(connection, "SELECT generate_series(1, 1000)"), connection);
    wait_for_result(connection);
    drain(connection);
  }
  HOLDS(RESULT, 0);
}

/* The result is ready, but nobody fetches it: PQfinish clears it. */
SITE static void release_by_finish(void) {
  PGconn* connection = open_session();
  MUST(PQsendQuery(connection, "SELECT generate_series(1, 1000)"), connection);
  wait_for_result(connection);
  close_session(connection);
  HOLDS(RESULT, 0);
}

static void results_polled(void) {
  PGconn* connection = open_session();
  keep_polled(connection);
  release_polled(connection);
  release_by_finish();
}

const struct scenario result_scenarios[] = {
    {"results_kept", results_kept},
    {"results_cleared", results_cleared},
    {"results_outlive_connection", results_outlive_connection},
    {"results_of_strings", results_of_strings},
    {"results_polled", results_polled},
    {NULL, NULL}};
