/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared statements: kept, released in every way, and never made. */
#include "scenarios.h"

static void prepare(PGconn* connection, const char* name, const char* text) {
  clear_good(connection, PQprepare(connection, name, text, 0, NULL));
}

static void send_prepare(PGconn* connection, const char* name, const char* text) {
  MUST(PQsendPrepare(connection, name, text, 0, NULL), connection);
  clear_good(connection, PQgetResult(connection));
  drain(connection);
}

static void sql_params(PGconn* connection, const char* text) {
  clear_good(connection, PQexecParams(connection, text, 0, NULL, NULL, NULL, NULL, 0));
}

/* ---- Kept --------------------------------------------------------------------------------- */

SITE static void keep_prepared(PGconn* connection) {
  prepare(connection, "plan_1", "SELECT 1");
  prepare(connection, "plan_2", "SELECT $1::int");
  prepare(connection, "Plan \"2\"", "SELECT 3");
  HOLDS(STATEMENT, 3);
}

SITE static void keep_send_prepared(PGconn* connection) {
  send_prepare(connection, "sent_1", "SELECT 1");
  send_prepare(connection, "sent_2", "DECLARE never_run CURSOR FOR SELECT 1");
  HOLDS(STATEMENT, 2);
}

SITE static void keep_sql_prepared(PGconn* connection) {
  sql(connection, "PREPARE by_sql AS SELECT 1");
  sql(connection, "prepare /* odd */ \"By SQL; 2\" (int, text) as select $1, $2");
  HOLDS(STATEMENT, 2);
}

SITE static void keep_sql_prepared_params(PGconn* connection) {
  sql_params(connection, "PREPARE by_params AS SELECT 1");
  HOLDS(STATEMENT, 1);
}

SITE static void keep_of_string(PGconn* connection) {
  sql(connection,
      "PREPARE a AS SELECT 1; PREPARE b AS SELECT 'DEALLOCATE ALL'; DEALLOCATE a; "
      "PREPARE a AS SELECT 2");
  HOLDS(STATEMENT, 2);
}

/* The server keeps 63 bytes of a name. */
SITE static void keep_long_named(PGconn* connection) {
  sql(connection,
      "PREPARE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_0123456789_long "
      "AS SELECT 1");
  HOLDS(STATEMENT, 1);
}

/* The unnamed one replaces itself. Nobody may ask: a simple query would drop it. */
SITE static void keep_unnamed(PGconn* connection) {
  for (int i = 0; i < 3; ++i) prepare(connection, "", "SELECT 1");
  leave_unasked(connection);
  HOLDS(STATEMENT, 1);
}

static void statements_kept(void) {
  PGconn* connection = open_session();
  keep_prepared(connection);
  keep_send_prepared(connection);
  keep_sql_prepared(connection);
  keep_sql_prepared_params(connection);
  keep_of_string(connection);
  keep_long_named(connection);
}

static void statements_unnamed(void) {
  keep_unnamed(open_session());
}

/* Prepared statements know no transactions. */
SITE static void keep_over_rollback(PGconn* connection) {
  sql(connection, "BEGIN");
  prepare(connection, "rolled_back", "SELECT 1");
  sql(connection, "SAVEPOINT s; PREPARE rolled_back_too AS SELECT 1; ROLLBACK TO s");
  sql(connection, "ROLLBACK");
  HOLDS(STATEMENT, 2);
}

SITE static void keep_over_error(PGconn* connection) {
  sql_fails(connection, "PREPARE before_error AS SELECT 1; SELECT 1/0; PREPARE never AS SELECT 1");
  sql(connection, "DISCARD PLANS");
  sql(connection, "DISCARD TEMP");
  HOLDS(STATEMENT, 1);
}

SITE static void release_in_rolled_back(PGconn* connection) {
  prepare(connection, "gone", "SELECT 1");
  sql(connection, "BEGIN; DEALLOCATE gone; ROLLBACK");
  HOLDS(STATEMENT, 0);
}

static void statements_over_transactions(void) {
  PGconn* connection = open_session();
  keep_over_rollback(connection);
  keep_over_error(connection);
  release_in_rolled_back(connection);
}

/* ---- Released ----------------------------------------------------------------------------- */

SITE static void release_by_name(PGconn* connection) {
  prepare(connection, "r1", "SELECT 1");
  prepare(connection, "R2", "SELECT 1");
  prepare(connection, "r3", "SELECT 1");
  prepare(connection, "r4", "SELECT 1");
  sql(connection, "DEALLOCATE R1");
  sql(connection, "DEALLOCATE PREPARE \"R2\"");
  sql_params(connection, "DEALLOCATE r3");
  prepare(connection, "drop_r4", "DEALLOCATE r4");
  clear_good(connection, PQexecPrepared(connection, "drop_r4", 0, NULL, NULL, NULL, 0));
  sql(connection, "PREPARE r5 AS SELECT 1; DEALLOCATE r5; DEALLOCATE drop_r4");
  HOLDS(STATEMENT, 0);
}

SITE static void release_long_named(PGconn* connection) {
  sql(connection,
      "PREPARE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_0123456789_1 AS "
      "SELECT 1");
  sql(connection, "DEALLOCATE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_0123456789_2");
  HOLDS(STATEMENT, 0);
}

SITE static void release_by_deallocate_all(PGconn* connection) {
  prepare(connection, "a1", "SELECT 1");
  send_prepare(connection, "a2", "SELECT 1");
  sql(connection, "PREPARE a3 AS SELECT 1");
  sql(connection, "DEALLOCATE ALL");
  HOLDS(STATEMENT, 0);
}

SITE static void release_by_discard_all(PGconn* connection) {
  prepare(connection, "d1", "SELECT 1");
  sql(connection, "PREPARE d2 AS SELECT 1");
  sql(connection, "DISCARD ALL");
  HOLDS(STATEMENT, 0);
}

SITE static void release_by_finish(void) {
  PGconn* connection = open_session();
  prepare(connection, "f1", "SELECT 1");
  prepare(connection, "", "SELECT 1");
  close_session(connection);
  HOLDS(STATEMENT, 0);
}

SITE static void release_by_reset(PGconn* connection) {
  prepare(connection, "s1", "SELECT 1");
  PQreset(connection);
  HOLDS(STATEMENT, 0);
}

SITE static void release_unnamed_by_query(PGconn* connection) {
  prepare(connection, "", "SELECT 1");
  sql(connection, "SELECT 1");
  prepare(connection, "", "SELECT 1");
  sql_fails(connection, "no SQL at all");
  HOLDS(STATEMENT, 0);
}

/* The server drops the old one before it looks at the new one. */
SITE static void release_unnamed_by_failure(PGconn* connection) {
  prepare(connection, "", "SELECT 1");
  clear_bad(connection, PQprepare(connection, "", "no SQL at all", 0, NULL));
  HOLDS(STATEMENT, 0);
}

static void statements_released(void) {
  PGconn* connection = open_session();
  release_by_name(connection);
  release_long_named(connection);
  release_by_deallocate_all(connection);
  release_by_discard_all(connection);
  release_by_finish();
  release_by_reset(connection);
  release_unnamed_by_query(connection);
  release_unnamed_by_failure(connection);
}

/* ---- Never made, never released ----------------------------------------------------------- */

SITE static void fail_to_prepare(PGconn* connection) {
  clear_bad(connection, PQprepare(connection, "wrong", "no SQL at all", 0, NULL));
  clear_bad(connection, PQprepare(connection, "once", "SELECT 2", 0, NULL));
  clear_bad(connection, PQprepare(connection, "two", "SELECT 1; SELECT 2", 0, NULL));
  sql_fails(connection, "PREPARE once AS SELECT 3");
  sql_fails(connection, "PREPARE no_table AS SELECT * FROM no_such_table");
  MUST(PQsendPrepare(connection, "sent", "no SQL at all", 0, NULL), connection);
  clear_bad(connection, PQgetResult(connection));
  drain(connection);
  sql(connection, "BEGIN");
  sql_fails(connection, "SELECT 1/0");
  clear_bad(connection, PQprepare(connection, "aborted", "SELECT 1", 0, NULL));
  sql(connection, "ROLLBACK");
  MUST(PQprepare(connection, "null", NULL, 0, NULL) == NULL, NULL);
  HOLDS(STATEMENT, 0);
}

SITE static void keep_once(PGconn* connection) {
  prepare(connection, "once", "SELECT 1");
  HOLDS(STATEMENT, 1);
}

/* In a failed transaction and of a name that is not there, nothing is released. */
static void fail_to_release(PGconn* connection) {
  sql_fails(connection, "DEALLOCATE \"Once\"");
  sql_fails(connection, "SELECT 1/0; DEALLOCATE once");
  sql(connection, "BEGIN");
  sql_fails(connection, "SELECT 1/0");
  sql_fails(connection, "DEALLOCATE ALL");
  sql(connection, "ROLLBACK");
  sql_fails(connection, "BEGIN; DISCARD ALL");
  sql(connection, "ROLLBACK");
}

static void statements_failed(void) {
  PGconn* connection = open_session();
  keep_once(connection);
  fail_to_prepare(connection);
  fail_to_release(connection);
}

const struct scenario statement_scenarios[] = {
    {"statements_kept", statements_kept},
    {"statements_unnamed", statements_unnamed},
    {"statements_over_transactions", statements_over_transactions},
    {"statements_released", statements_released},
    {"statements_failed", statements_failed},
    {NULL, NULL}};
