/* SPDX-License-Identifier: Apache-2.0 */
/* COPY in progress and ended; results row by row, drained and not. */
#include "scenarios.h"

static void put_rows(PGconn* connection, int count) {
  for (int i = 0; i < count; ++i) MUST(PQputCopyData(connection, "1\n", 2) == 1, connection);
}

static void begin_copy(PGconn* connection, const char* text, ExecStatusType status) {
  PGresult* result = PQexec(connection, text);
  MUST(PQresultStatus(result) == status, connection);
  PQclear(result);
}

static PGconn* session_with_table(void) {
  PGconn* connection = open_session();
  sql(connection, "CREATE TEMP TABLE numbers (n int)");
  return connection;
}

/* ---- COPY ---------------------------------------------------------------------------------- */

SITE static void keep_copy_in(PGconn* connection) {
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  put_rows(connection, 10);
  HOLDS(COPY, 1);
}

SITE static void keep_copy_out(PGconn* connection) {
  begin_copy(connection, "COPY (SELECT generate_series(1, 1000)) TO STDOUT", PGRES_COPY_OUT);
  char* row = NULL;
  MUST(PQgetCopyData(connection, &row, 0) > 0, connection);
  PQfreemem(row);
  HOLDS(COPY, 1);
}

SITE static void keep_copy_sent(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1; COPY numbers FROM STDIN; SELECT 2"), connection);
  PQclear(PQgetResult(connection));
  PGresult* result = PQgetResult(connection);
  MUST(PQresultStatus(result) == PGRES_COPY_IN, connection);
  PQclear(result);
  HOLDS(COPY, 1);
}

static void copy_kept(void) {
  keep_copy_in(session_with_table());
  keep_copy_out(open_session());
  keep_copy_sent(session_with_table());
}

SITE static void release_copy_in(PGconn* connection) {
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  put_rows(connection, 10);
  MUST(PQputCopyEnd(connection, NULL) == 1, connection);
  drain(connection);
  HOLDS(COPY, 0);
}

/* The client gives it up; the server refuses a row. */
SITE static void release_copy_in_failed(PGconn* connection) {
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  MUST(PQputCopyEnd(connection, "given up") == 1, connection);
  drain(connection);
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  MUST(PQputCopyData(connection, "no number\n", 10) == 1, connection);
  MUST(PQputCopyEnd(connection, NULL) == 1, connection);
  drain(connection);
  HOLDS(COPY, 0);
}

SITE static void release_copy_out(PGconn* connection) {
  begin_copy(connection, "COPY (SELECT generate_series(1, 100)) TO STDOUT", PGRES_COPY_OUT);
  char* row = NULL;
  while (PQgetCopyData(connection, &row, 0) > 0) PQfreemem(row);
  drain(connection);
  HOLDS(COPY, 0);
}

/* The next query ends it. */
SITE static void release_by_next_query(PGconn* connection) {
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  put_rows(connection, 10);
  sql(connection, "SELECT 1");
  begin_copy(connection, "COPY (SELECT generate_series(1, 100)) TO STDOUT", PGRES_COPY_OUT);
  sql(connection, "SELECT 1");
  HOLDS(COPY, 0);
}

SITE static void release_by_finish(void) {
  PGconn* connection = session_with_table();
  begin_copy(connection, "COPY numbers FROM STDIN", PGRES_COPY_IN);
  close_session(connection);
  HOLDS(COPY, 0);
}

SITE static void fail_to_copy(PGconn* connection) {
  sql_fails(connection, "COPY no_such_table FROM STDIN");
  sql(connection, "COPY numbers TO '/dev/null'"); /* not over the connection */
  HOLDS(COPY, 0);
}

static void copy_ended(void) {
  PGconn* connection = session_with_table();
  release_copy_in(connection);
  release_copy_in_failed(connection);
  release_copy_out(connection);
  release_by_next_query(connection);
  release_by_finish();
  fail_to_copy(connection);
}

/* ---- Row by row ----------------------------------------------------------------------------- */

#define MANY_ROWS "SELECT generate_series(1, 100)"

static void begin_rows(PGconn* connection) {
  MUST(PQsendQuery(connection, MANY_ROWS), connection);
  MUST(PQsetSingleRowMode(connection), connection);
}

SITE static void keep_undrained(PGconn* connection) {
  begin_rows(connection);
  for (int i = 0; i < 10; ++i) PQclear(PQgetResult(connection));
  HOLDS(COPY, 1);
}

SITE static void leak_rows(PGconn* connection) {
  begin_rows(connection);
  for (int i = 0; i < 7; ++i) MUST(PQgetResult(connection) != NULL, connection);
  HOLDS(RESULT, 7);
  HOLDS(COPY, 1);
}

/* The last result, without rows, is kept with the rows'. */
SITE static void leak_rows_drained(PGconn* connection) {
  begin_rows(connection);
  for (int i = 0; i < 101; ++i) MUST(PQgetResult(connection) != NULL, connection);
  MUST(PQgetResult(connection) == NULL, connection);
  HOLDS(RESULT, 101);
  HOLDS(COPY, 0);
}

SITE static void release_drained(PGconn* connection) {
  begin_rows(connection);
  drain(connection);
  HOLDS(COPY, 0);
  HOLDS(RESULT, 0);
}

SITE static void release_rows_of_error(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1/(n - 50) FROM generate_series(1, 100) n"), connection);
  MUST(PQsetSingleRowMode(connection), connection);
  drain(connection);
  HOLDS(COPY, 0);
  HOLDS(RESULT, 0);
}

SITE static void release_rows_by_query(PGconn* connection) {
  begin_rows(connection);
  PQclear(PQgetResult(connection));
  sql(connection, "SELECT 1");
  HOLDS(COPY, 0);
  HOLDS(RESULT, 0);
}

/* Too late, or without a query: there is no such mode then. */
SITE static void fail_to_begin(PGconn* connection) {
  MUST(!PQsetSingleRowMode(connection), connection);
  HOLDS(COPY, 0);
}

static void rows_kept(void) {
  keep_undrained(open_session());
  leak_rows(open_session());
}

static void rows_drained(void) {
  PGconn* connection = open_session();
  leak_rows_drained(connection);
  release_drained(connection);
  release_rows_of_error(connection);
  release_rows_by_query(connection);
  fail_to_begin(connection);
}

const struct scenario mode_scenarios[] = {{"copy_kept", copy_kept},
                                          {"copy_ended", copy_ended},
                                          {"rows_kept", rows_kept},
                                          {"rows_drained", rows_drained},
                                          {NULL, NULL}};
