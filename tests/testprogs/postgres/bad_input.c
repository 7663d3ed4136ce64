/* SPDX-License-Identifier: Apache-2.0 */
/* SQL that is none, too long, or secret; handles that are none, used again, or many. */
#include "scenarios.h"

/* ---- Texts --------------------------------------------------------------------------------- */

SITE static void fail_not_utf8(PGconn* connection) {
  sql_fails(connection, "SELECT '\xff\xfe'");
  sql_fails(connection, "DECLARE \"\xff\" CURSOR WITH HOLD FOR SELECT 1");
  sql_fails(connection, "\xff");
  clear_bad(connection, PQprepare(connection, "wrong\xff", "SELECT '\xff'", 0, NULL));
  HOLDS(CURSOR, 0);
  HOLDS(STATEMENT, 0);
}

/* In another encoding the same bytes are letters. */
SITE static void keep_latin1(PGconn* connection) {
  MUST(PQsetClientEncoding(connection, "LATIN1") == 0, connection);
  sql(connection, "DECLARE latin CURSOR WITH HOLD FOR SELECT '\xff\xfe'");
  sql(connection, "PREPARE latin AS SELECT '\xe4'");
  HOLDS(CURSOR, 1);
  HOLDS(STATEMENT, 1);
}

static void text_not_utf8(void) {
  PGconn* connection = open_session();
  fail_not_utf8(connection);
  keep_latin1(connection);
}

#define MEBIBYTE (1 << 20)

static char* mebibyte(const char* before) {
  char* text = malloc(MEBIBYTE + 1);
  MUST(text != NULL, NULL);
  memset(text, 'x', MEBIBYTE);
  memcpy(text, before, strlen(before));
  strcpy(text + MEBIBYTE - 1, "'");
  return text;
}

SITE static void keep_mebibyte(PGconn* connection) {
  static const char* const heads[] = {"SELECT '", "DECLARE huge CURSOR WITH HOLD FOR SELECT '",
                                      "PREPARE huge AS SELECT '"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; ++i) {
    char* text = mebibyte(heads[i]);
    sql(connection, text);
    free(text);
  }
  char* text = mebibyte("SELECT '");
  clear_good(connection, PQprepare(connection, "huge_too", text, 0, NULL));
  free(text);
  HOLDS(CURSOR, 1);
  HOLDS(STATEMENT, 2);
}

static void text_of_mebibyte(void) {
  keep_mebibyte(open_session());
}

SITE static void keep_among_nothing(PGconn* connection) {
  sql(connection, "");
  sql(connection, ";");
  sql(connection, " -- nothing\n");
  clear_good(connection, PQexecParams(connection, "", 0, NULL, NULL, NULL, NULL, 0));
  clear_good(connection, PQprepare(connection, "nothing", "", 0, NULL));
  HOLDS(STATEMENT, 1);
}

SITE static void fail_null(PGconn* connection) {
  MUST(PQexec(connection, NULL) == NULL, NULL);
  MUST(PQexecParams(connection, NULL, 0, NULL, NULL, NULL, NULL, 0) == NULL, NULL);
  MUST(PQprepare(connection, "null", NULL, 0, NULL) == NULL, NULL);
  MUST(PQprepare(connection, NULL, "SELECT 1", 0, NULL) == NULL, NULL);
  MUST(PQexecPrepared(connection, NULL, 0, NULL, NULL, NULL, 0) == NULL, NULL);
  MUST(!PQsendQuery(connection, NULL), NULL);
  HOLDS(RESULT, 0);
}

SITE static void fail_without_handle(void) {
  MUST(PQexec(NULL, "SELECT 1") == NULL, NULL);
  MUST(PQprepare(NULL, "plan", "SELECT 1", 0, NULL) == NULL, NULL);
  MUST(PQgetResult(NULL) == NULL, NULL);
  MUST(!PQsendQuery(NULL, "DECLARE c CURSOR WITH HOLD FOR SELECT 1"), NULL);
  PQclear(NULL);
  PQfinish(NULL);
  PQreset(NULL);
  HOLDS(RESULT, 0);
}

/* A command before the results of another were taken, and on a connection that is none. */
SITE static void fail_to_send(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1"), connection);
  MUST(!PQsendQuery(connection, "DECLARE c CURSOR WITH HOLD FOR SELECT 1"), connection);
  MUST(!PQsendPrepare(connection, "refused", "SELECT 1", 0, NULL), connection);
  drain(connection);
  PGconn* none = PQconnectdb(NOWHERE);
  MUST(PQexec(none, "DECLARE c CURSOR WITH HOLD FOR SELECT 1") == NULL, NULL);
  MUST(PQprepare(none, "plan", "SELECT 1", 0, NULL) == NULL, NULL);
  PQfinish(none);
  HOLDS(CURSOR, 0);
  HOLDS(STATEMENT, 0);
}

static void text_empty_or_null(void) {
  PGconn* connection = open_session();
  keep_among_nothing(connection);
  fail_null(connection);
  fail_without_handle();
  fail_to_send(connection);
}

/* ---- Secrets --------------------------------------------------------------------------------- */

/* The words that a test looks for: of a literal "secret", of the conninfo "hunter2". */
SITE static void keep_secrets(PGconn* connection) {
  static const char* const values[] = {"secret"};
  sql(connection,
      "DECLARE c1 CURSOR WITH HOLD FOR SELECT 'secret' AS word, 471147114711 AS number");
  sql(connection, "PREPARE s1 AS SELECT $1::text = 'secret', E'secret', $$secret$$");
  clear_good(connection, PQprepare(connection, "s2", "SELECT 'secret'", 0, NULL));
  clear_good(connection,
             PQexecParams(connection, "SELECT $1::text", 1, NULL, values, NULL, NULL, 0));
  MUST(PQexec(connection, "SELECT 'secret' FROM pg_class LIMIT 1") != NULL, connection);
  MUST(PQexec(connection, "SELECT 'secret' FROM FROM") != NULL, connection);
  HOLDS(CURSOR, 1);
  HOLDS(STATEMENT, 2);
  HOLDS(RESULT, 2);
}

SITE static PGconn* connect_as_told(void) {
  static char words[512];
  snprintf(words, sizeof words, "%s password=hunter2", conninfo);
  PGconn* connection = PQconnectdb(words);
  MUST(PQstatus(connection) == CONNECTION_OK, connection);
  ask_at_end(connection);
  HOLDS(CONNECTION, 1);
  return connection;
}

static void secrets(void) {
  keep_secrets(connect_as_told());
}

/* ---- Handles -----------------------------------------------------------------------------------
 */

SITE static void release_used_again(unsigned long times) {
  static PGconn* handles[2];
  int same = 0;
  for (unsigned long i = 0; i < times; ++i) {
    PGconn* connection = open_session();
    same += connection == handles[0];
    handles[0] = connection;
    clear_good(connection, PQprepare(connection, "plan", "SELECT 1", 0, NULL));
    sql(connection, "DECLARE c CURSOR WITH HOLD FOR SELECT 1; BEGIN; SELECT 1");
    close_session(connection);
  }
  MUST(same > 0, NULL);
  HOLDS(STATEMENT, 0);
  HOLDS(CURSOR, 0);
}

SITE static void keep_last(PGconn* connection) {
  clear_good(connection, PQprepare(connection, "plan", "SELECT 1", 0, NULL));
  HOLDS(STATEMENT, 1);
}

static void handle_used_again(void) {
  release_used_again(scenario_count ? scenario_count : 50);
  keep_last(open_session());
}

SITE static void leak_many(unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) MUST(PQconnectdb(NOWHERE) != NULL, NULL);
  HOLDS(CONNECTION, (long)count);
}

/* They lead nowhere, so that no server need hold them. */
static void many_connections(void) {
  leak_many(scenario_count ? scenario_count : 10000);
}

/* ---- Killed -------------------------------------------------------------------------------------
 */

SITE static void keep_until_killed(PGconn* connection) {
  sql(connection, "DECLARE kept CURSOR WITH HOLD FOR SELECT 1");
  clear_good(connection, PQprepare(connection, "kept", "SELECT 1", 0, NULL));
  for (int i = 0; i < 5; ++i) MUST(PQexec(connection, "SELECT 1") != NULL, connection);
  HOLDS(CURSOR, 1);
  HOLDS(STATEMENT, 1);
  HOLDS(RESULT, 5);
}

/* Says what is held for certain, and works until somebody kills it. */
static void works_until_killed(void) {
  PGconn* connection = open_session();
  keep_until_killed(connection);
  say_truth();
  say_pid("working");
  for (;;) {
    sql(connection, "DECLARE worked CURSOR WITH HOLD FOR SELECT generate_series(1, 1000)");
    sql(connection, "BEGIN; FETCH 10 FROM worked; SAVEPOINT s; ROLLBACK TO s; COMMIT");
    sql(connection, "CLOSE worked");
  }
}

const struct scenario bad_input_scenarios[] = {
    {"text_not_utf8", text_not_utf8},           {"text_of_mebibyte", text_of_mebibyte},
    {"text_empty_or_null", text_empty_or_null}, {"secrets", secrets},
    {"handle_used_again", handle_used_again},   {"many_connections", many_connections},
    {"works_until_killed", works_until_killed}, {NULL, NULL}};
