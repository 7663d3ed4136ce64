/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors: declared by each function, closed by each, and never declared. */
#include "scenarios.h"

static void sql_params(PGconn* connection, const char* text) {
  clear_good(connection, PQexecParams(connection, text, 0, NULL, NULL, NULL, NULL, 0));
}

static void sql_sent(PGconn* connection, const char* text) {
  MUST(PQsendQuery(connection, text), connection);
  clear_good(connection, PQgetResult(connection));
  drain(connection);
}

static void sql_sent_params(PGconn* connection, const char* text) {
  MUST(PQsendQueryParams(connection, text, 0, NULL, NULL, NULL, NULL, 0), connection);
  clear_good(connection, PQgetResult(connection));
  drain(connection);
}

/* Prepares a command and runs it; nothing of the statement remains. */
static void sql_prepared(PGconn* connection, const char* text) {
  clear_good(connection, PQprepare(connection, "command", text, 0, NULL));
  clear_good(connection, PQexecPrepared(connection, "command", 0, NULL, NULL, NULL, 0));
  sql(connection, "DEALLOCATE command");
}

static void sql_sent_prepared(PGconn* connection, const char* text) {
  clear_good(connection, PQprepare(connection, "", text, 0, NULL));
  MUST(PQsendQueryPrepared(connection, "", 0, NULL, NULL, NULL, 0), connection);
  clear_good(connection, PQgetResult(connection));
  drain(connection);
}

/* ---- Declared ----------------------------------------------------------------------------- */

SITE static void keep_by_exec(PGconn* connection) {
  sql(connection, "DECLARE e1 CURSOR FOR SELECT 1");
  sql(connection, "DECLARE e2 BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1");
  sql(connection, "DECLARE e3 SCROLL CURSOR WITH HOLD FOR SELECT 1; MOVE e1; FETCH ALL FROM e2");
  HOLDS(CURSOR, 3);
}

SITE static void keep_by_exec_params(PGconn* connection) {
  static const char* const values[] = {"7"};
  clear_good(connection, PQexecParams(connection, "DECLARE p1 CURSOR FOR SELECT $1::int", 1, NULL,
                                      values, NULL, NULL, 0));
  sql_params(connection, "DECLARE p2 CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 2);
}

SITE static void keep_by_send_query(PGconn* connection) {
  sql_sent(connection, "DECLARE s1 CURSOR FOR SELECT 1");
  sql_sent(connection, "DECLARE s2 CURSOR FOR SELECT 1; DECLARE s3 CURSOR FOR SELECT 1");
  HOLDS(CURSOR, 3);
}

SITE static void keep_by_send_query_params(PGconn* connection) {
  sql_sent_params(connection, "DECLARE sp1 CURSOR FOR SELECT 1");
  HOLDS(CURSOR, 1);
}

SITE static void keep_by_prepared(PGconn* connection) {
  sql_prepared(connection, "DECLARE pr1 CURSOR FOR SELECT 1");
  sql_prepared(connection, "DECLARE pr2 CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 2);
}

SITE static void keep_by_sent_prepared(PGconn* connection) {
  sql_sent_prepared(connection, "DECLARE spr CURSOR FOR SELECT 1");
  HOLDS(CURSOR, 1);
}

/* One statement, run again after its cursor was closed. */
SITE static void keep_by_prepared_again(PGconn* connection) {
  clear_good(connection,
             PQprepare(connection, "again", "DECLARE again CURSOR FOR SELECT 1", 0, NULL));
  for (int i = 0; i < 3; ++i) {
    if (i > 0) sql(connection, "CLOSE again");
    clear_good(connection, PQexecPrepared(connection, "again", 0, NULL, NULL, NULL, 0));
  }
  sql(connection, "DEALLOCATE again");
  HOLDS(CURSOR, 1);
}

/* All in a transaction that stays open. */
static void cursors_declared(void) {
  PGconn* connection = open_session();
  sql(connection, "BEGIN");
  keep_by_exec(connection);
  keep_by_exec_params(connection);
  keep_by_send_query(connection);
  keep_by_send_query_params(connection);
  keep_by_prepared(connection);
  keep_by_sent_prepared(connection);
  keep_by_prepared_again(connection);
}

SITE static void keep_held(PGconn* connection) {
  sql(connection, "DECLARE h1 CURSOR WITH HOLD FOR SELECT generate_series(1, 10)");
  sql_params(connection, "DECLARE h2 CURSOR WITH HOLD FOR SELECT 1");
  sql_sent(connection, "DECLARE h3 CURSOR WITH HOLD FOR SELECT 1");
  sql_sent_params(connection, "DECLARE h4 CURSOR WITH HOLD FOR SELECT 1");
  sql_prepared(connection, "DECLARE h5 CURSOR WITH HOLD FOR SELECT 1");
  sql_sent_prepared(connection, "DECLARE h6 CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 6);
}

/* Outside of transactions, on two sessions, with the same names. */
static void cursors_held(void) {
  keep_held(open_session());
  keep_held(open_session());
}

/* ---- Closed ------------------------------------------------------------------------------- */

SITE static void release_by_close(PGconn* connection) {
  sql(connection,
      "DECLARE c1 CURSOR FOR SELECT 1; DECLARE C2 CURSOR WITH HOLD FOR SELECT 1;"
      "DECLARE c3 CURSOR FOR SELECT 1; DECLARE c4 CURSOR FOR SELECT 1;"
      "DECLARE c5 CURSOR FOR SELECT 1; DECLARE c6 CURSOR FOR SELECT 1");
  sql(connection, "CLOSE C1");
  sql_params(connection, "CLOSE c2");
  sql_sent(connection, "CLOSE c3");
  sql_sent_params(connection, "CLOSE c4");
  sql_prepared(connection, "CLOSE c5");
  sql_sent_prepared(connection, "CLOSE c6");
  HOLDS(CURSOR, 0);
}

SITE static void release_in_same_string(PGconn* connection) {
  sql(connection, "DECLARE same CURSOR FOR SELECT 1; FETCH same; CLOSE same");
  sql(connection, "DECLARE implicit CURSOR FOR SELECT 1; FETCH implicit");
  HOLDS(CURSOR, 0);
}

SITE static void release_by_close_all(PGconn* connection) {
  sql(connection, "DECLARE all1 CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "BEGIN; DECLARE all2 CURSOR FOR SELECT 1; DECLARE all3 CURSOR FOR SELECT 1");
  sql(connection, "CLOSE ALL");
  sql(connection, "COMMIT");
  HOLDS(CURSOR, 0);
}

SITE static void release_by_discard_all(PGconn* connection) {
  sql(connection, "DECLARE d1 CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE d2 CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DISCARD ALL");
  HOLDS(CURSOR, 0);
}

SITE static void release_by_finish(void) {
  PGconn* connection = open_session();
  sql(connection, "DECLARE f1 CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "BEGIN; DECLARE f2 CURSOR FOR SELECT 1");
  close_session(connection);
  HOLDS(CURSOR, 0);
}

/* A closed cursor stays closed, though its transaction is rolled back. */
SITE static void release_in_rolled_back(PGconn* connection) {
  sql(connection, "DECLARE r1 CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "BEGIN; CLOSE r1; ROLLBACK");
  sql(connection,
      "BEGIN; DECLARE r2 CURSOR WITH HOLD FOR SELECT 1; SAVEPOINT s; CLOSE r2;"
      "ROLLBACK TO s; COMMIT");
  HOLDS(CURSOR, 0);
}

static void cursors_closed(void) {
  PGconn* connection = open_session();
  sql(connection, "BEGIN");
  release_by_close(connection);
  sql(connection, "COMMIT");
  release_in_same_string(connection);
  release_by_close_all(connection);
  release_by_discard_all(connection);
  release_by_finish();
  release_in_rolled_back(connection);
}

/* ---- Never declared, never closed --------------------------------------------------------- */

SITE static void fail_to_declare(PGconn* connection) {
  sql_fails(connection, "DECLARE outside CURSOR FOR SELECT 1");
  sql_fails(connection, "DECLARE held CURSOR WITH HOLD FOR SELECT 1");
  sql_fails(connection, "DECLARE wrong CURSOR WITH HOLD FOR SELECT * FROM no_such_table");
  sql_fails(connection, "DECLARE wrong CURSOR no grammar");
  sql_fails(connection, "DECLARE h CURSOR WITH HOLD FOR SELECT 1; SELECT 1/0");
  sql_fails(connection, "DECLARE h CURSOR WITH HOLD FOR SELECT 1; no grammar");
  sql_fails(connection, "SELECT 1/0; DECLARE h CURSOR WITH HOLD FOR SELECT 1");
  clear_bad(connection, PQexecParams(connection, "DECLARE outside CURSOR FOR SELECT 1", 0, NULL,
                                     NULL, NULL, NULL, 0));
  HOLDS(CURSOR, 0);
}

SITE static void fail_in_failed_transaction(PGconn* connection) {
  sql(connection, "BEGIN");
  sql_fails(connection, "SELECT 1/0");
  sql_fails(connection, "DECLARE aborted CURSOR FOR SELECT 1");
  sql_fails(connection, "DECLARE aborted CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "ROLLBACK");
  HOLDS(CURSOR, 0);
}

SITE static void keep_what_is_held(PGconn* connection) {
  sql(connection, "DECLARE held CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 1);
}

static void fail_to_close(PGconn* connection) {
  sql_fails(connection, "CLOSE \"Held\"");
  sql(connection, "BEGIN");
  sql_fails(connection, "SELECT 1/0");
  sql_fails(connection, "CLOSE ALL");
  sql(connection, "ROLLBACK");
  sql_fails(connection, "SELECT 1/0; CLOSE held");
}

static void cursors_failed(void) {
  PGconn* connection = open_session();
  keep_what_is_held(connection);
  fail_to_declare(connection);
  fail_in_failed_transaction(connection);
  fail_to_close(connection);
}

const struct scenario cursor_scenarios[] = {{"cursors_declared", cursors_declared},
                                            {"cursors_held", cursors_held},
                                            {"cursors_closed", cursors_closed},
                                            {"cursors_failed", cursors_failed},
                                            {NULL, NULL}};
