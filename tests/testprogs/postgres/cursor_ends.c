/* SPDX-License-Identifier: Apache-2.0 */
/* What the ends of transactions and savepoints do to cursors. */
#include "scenarios.h"

/* Declares a cursor that is held until `released` says otherwise. */
#define DECLARES(function, text)                  \
  SITE static void function(PGconn* connection) { \
    sql(connection, text);                        \
    HOLDS(CURSOR, 1);                             \
  }

static void released(const char* function) {
  now_holds(CURSOR, function, -1);
}

DECLARES(declare_plain, "DECLARE plain CURSOR FOR SELECT 1")
DECLARES(declare_hold, "DECLARE hold CURSOR WITH HOLD FOR SELECT 1")
DECLARES(declare_hold_before, "DECLARE before CURSOR WITH HOLD FOR SELECT 1")

/* A session with a cursor from before, and in a transaction one of each kind. */
static PGconn* in_transaction(void) {
  PGconn* connection = open_session();
  declare_hold_before(connection);
  sql(connection, "START TRANSACTION ISOLATION LEVEL REPEATABLE READ");
  declare_plain(connection);
  declare_hold(connection);
  return connection;
}

static void cursors_commit(void) {
  static const char* const ends[] = {"COMMIT", "END TRANSACTION", "COMMIT AND CHAIN",
                                     "SELECT 1; COMMIT; SELECT 2"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
    PGconn* connection = in_transaction();
    sql(connection, ends[i]);
    released("declare_plain");
  }
}

/* A cursor WITH HOLD that this very transaction declared is gone, one from before is not. */
static void cursors_rollback(void) {
  static const char* const ends[] = {"ROLLBACK", "ABORT", "ROLLBACK AND CHAIN",
                                     "SELECT 1; ROLLBACK; SELECT 2"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
    PGconn* connection = in_transaction();
    sql(connection, ends[i]);
    released("declare_plain");
    released("declare_hold");
  }
}

/* COMMIT of a transaction that has failed is a rollback, and says so in its tag. */
static void cursors_commit_of_failed(void) {
  PGconn* connection = in_transaction();
  sql_fails(connection, "SELECT 1/0");
  sql(connection, "COMMIT");
  released("declare_plain");
  released("declare_hold");
}

/* The COMMIT itself fails: a constraint that was deferred does not hold. */
static void cursors_commit_fails(void) {
  PGconn* connection = open_session();
  sql(connection,
      "CREATE TEMP TABLE owner (id int PRIMARY KEY);"
      "CREATE TEMP TABLE owned (id int REFERENCES owner DEFERRABLE INITIALLY DEFERRED)");
  declare_hold_before(connection);
  sql(connection, "BEGIN");
  declare_plain(connection);
  declare_hold(connection);
  sql(connection, "INSERT INTO owned VALUES (1)");
  sql_fails(connection, "COMMIT");
  MUST(PQtransactionStatus(connection) == PQTRANS_IDLE, connection);
  released("declare_plain");
  released("declare_hold");
}

/* By protocol, prepared. */
static void cursors_prepared_ends(void) {
  PGconn* connection = open_session();
  clear_good(connection, PQprepare(connection, "begin", "BEGIN", 0, NULL));
  clear_good(connection, PQprepare(connection, "commit", "COMMIT", 0, NULL));
  clear_good(connection, PQprepare(connection, "rollback", "ROLLBACK", 0, NULL));
  clear_good(connection, PQexecPrepared(connection, "begin", 0, NULL, NULL, NULL, 0));
  declare_plain(connection);
  declare_hold(connection);
  clear_good(connection, PQexecPrepared(connection, "commit", 0, NULL, NULL, NULL, 0));
  released("declare_plain");
  clear_good(connection, PQexecPrepared(connection, "begin", 0, NULL, NULL, NULL, 0));
  declare_plain(connection);
  clear_good(connection, PQexecPrepared(connection, "rollback", 0, NULL, NULL, NULL, 0));
  released("declare_plain");
  sql(connection, "DEALLOCATE ALL");
}

static void cursors_prepare_transaction(void) {
  PGconn* connection = open_session();
  declare_hold_before(connection);
  sql(connection, "BEGIN");
  declare_plain(connection);
  sql(connection, "PREPARE TRANSACTION 'leaktrace'");
  released("declare_plain");
  sql(connection, "ROLLBACK PREPARED 'leaktrace'");
  sql(connection, "BEGIN");
  declare_hold(connection);
  sql_fails(connection, "PREPARE TRANSACTION 'leaktrace'"); /* it has one WITH HOLD */
  if (PQtransactionStatus(connection) != PQTRANS_IDLE) sql(connection, "ROLLBACK");
  released("declare_hold");
}

/* ---- Savepoints --------------------------------------------------------------------------- */

DECLARES(declare_in_first, "DECLARE in_first CURSOR FOR SELECT 1")
DECLARES(declare_in_second, "DECLARE in_second CURSOR WITH HOLD FOR SELECT 1")
DECLARES(declare_after, "DECLARE in_second CURSOR FOR SELECT 1")

static PGconn* in_savepoints(void) {
  PGconn* connection = in_transaction();
  sql(connection, "SAVEPOINT first");
  declare_in_first(connection);
  sql(connection, "SAVEPOINT second");
  declare_in_second(connection);
  return connection;
}

static void savepoint_rolled_back(void) {
  PGconn* connection = in_savepoints();
  sql(connection, "ROLLBACK TO second");
  released("declare_in_second");
  declare_after(connection); /* the savepoint is still there */
  sql(connection, "ROLLBACK TRANSACTION TO SAVEPOINT second");
  released("declare_after");
  connection = in_savepoints();
  sql(connection, "ROLLBACK TO \"first\"");
  released("declare_in_first");
  released("declare_in_second");
  sql_fails(connection, "ROLLBACK TO second"); /* it went with the first */
  sql(connection, "ROLLBACK TO FIRST");
}

static void savepoint_released(void) {
  PGconn* connection = in_savepoints();
  sql(connection, "RELEASE second");
  connection = in_savepoints();
  sql(connection, "RELEASE SAVEPOINT first; COMMIT");
  released("declare_plain");
  released("declare_in_first");
  connection = in_savepoints();
  sql(connection, "RELEASE second; ROLLBACK TO first"); /* what was in second went to first */
  released("declare_in_first");
  released("declare_in_second");
}

/* One name for two savepoints: the newer hides the older until it is released. */
static void savepoint_hidden(void) {
  PGconn* connection = in_transaction();
  sql(connection, "SAVEPOINT s");
  declare_in_first(connection);
  sql(connection, "SAVEPOINT S");
  declare_in_second(connection);
  sql(connection, "ROLLBACK TO s");
  released("declare_in_second");
  sql(connection, "RELEASE s");
  sql(connection, "ROLLBACK TO s");
  released("declare_in_first");
}

/* An error, and what is rolled back to afterwards. */
static void savepoint_after_error(void) {
  PGconn* connection = in_savepoints();
  sql_fails(connection, "SELECT 1/0");
  sql_fails(connection, "RELEASE first");
  sql_fails(connection, "ROLLBACK TO no_such_savepoint");
  sql(connection, "ROLLBACK TO second");
  released("declare_in_second");
  sql_fails(connection, "DECLARE in_first CURSOR FOR SELECT 1"); /* there is one */
  sql(connection, "ROLLBACK TO second");
}

/* ---- Strings of several statements --------------------------------------------------------- */

SITE static void keep_committed_in_string(PGconn* connection) {
  sql_fails(connection, "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT 1; COMMIT; SELECT 1/0");
  HOLDS(CURSOR, 1);
}

SITE static void keep_of_whole_string(PGconn* connection) {
  sql(connection,
      "BEGIN; DECLARE x CURSOR FOR SELECT 1; ROLLBACK; BEGIN;"
      "DECLARE x CURSOR FOR SELECT 2; DECLARE y CURSOR WITH HOLD FOR SELECT 3; CLOSE x");
  sql(connection, "COMMIT");
  HOLDS(CURSOR, 1);
}

SITE static void release_implicit(PGconn* connection) {
  sql_fails(connection,
            "DECLARE a CURSOR WITH HOLD FOR SELECT 1;"
            "DECLARE b CURSOR WITH HOLD FOR SELECT 1; SELECT 1/0; SELECT 2");
  HOLDS(CURSOR, 0);
}

/* BEGIN makes the statements before it part of its transaction. */
SITE static void release_joined(PGconn* connection) {
  sql(connection, "DECLARE joined CURSOR WITH HOLD FOR SELECT 1; BEGIN; SELECT 1");
  sql(connection, "ROLLBACK");
  HOLDS(CURSOR, 0);
}

/* What was closed stays closed, though the string is rolled back. */
SITE static void release_closed_then_error(PGconn* connection) {
  sql(connection, "DECLARE closed CURSOR WITH HOLD FOR SELECT 1");
  sql_fails(connection, "CLOSE closed; SELECT 1/0");
  HOLDS(CURSOR, 0);
}

static void cursors_of_strings(void) {
  PGconn* connection = open_session();
  keep_committed_in_string(connection);
  keep_of_whole_string(connection);
  release_implicit(connection);
  release_joined(connection);
  release_closed_then_error(connection);
}

const struct scenario cursor_end_scenarios[] = {
    {"cursors_commit", cursors_commit},
    {"cursors_rollback", cursors_rollback},
    {"cursors_commit_of_failed", cursors_commit_of_failed},
    {"cursors_commit_fails", cursors_commit_fails},
    {"cursors_prepared_ends", cursors_prepared_ends},
    {"cursors_prepare_transaction", cursors_prepare_transaction},
    {"savepoint_rolled_back", savepoint_rolled_back},
    {"savepoint_released", savepoint_released},
    {"savepoint_hidden", savepoint_hidden},
    {"savepoint_after_error", savepoint_after_error},
    {"cursors_of_strings", cursors_of_strings},
    {NULL, NULL}};
