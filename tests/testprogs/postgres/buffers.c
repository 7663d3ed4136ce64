/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that libpq gives away: kept, given back by PQfreemem, and by free. */
#include "scenarios.h"

typedef void giver_back(void*);

static void keep(void* buffer) {
  MUST(buffer != NULL, NULL);
}

static void by_freemem(void* buffer) {
  MUST(buffer != NULL, NULL);
  PQfreemem(buffer);
}

static void by_free(void* buffer) {
  MUST(buffer != NULL, NULL);
  free(buffer);
}

static long held(giver_back* back, long count) {
  return back == keep ? count : 0;
}

SITE static void notifies(PGconn* connection, giver_back* back) {
  sql(connection, "LISTEN leaktrace");
  for (int i = 0; i < 3; ++i) {
    sql(connection, "NOTIFY leaktrace, 'payload'");
    back(PQnotifies(connection));
  }
  MUST(PQnotifies(connection) == NULL, connection);
  sql(connection, "UNLISTEN *");
  HOLDS(BUFFER, held(back, 3));
}

SITE static void escape_literal(PGconn* connection, giver_back* back) {
  for (int i = 0; i < 4; ++i) back(PQescapeLiteral(connection, "it's", 4));
  HOLDS(BUFFER, held(back, 4));
}

SITE static void escape_identifier(PGconn* connection, giver_back* back) {
  for (int i = 0; i < 2; ++i) back(PQescapeIdentifier(connection, "Odd \"name\"", 10));
  HOLDS(BUFFER, held(back, 2));
}

SITE static void escape_bytea(PGconn* connection, giver_back* back) {
  size_t length = 0;
  for (int i = 0; i < 2; ++i) {
    back(PQescapeByteaConn(connection, (const unsigned char*)"a\0b", 3, &length));
  }
  back(PQescapeBytea((const unsigned char*)"a\0b", 3, &length));
  HOLDS(BUFFER, held(back, 3));
}

SITE static void unescape_bytea(giver_back* back) {
  size_t length = 0;
  for (int i = 0; i < 3; ++i) back(PQunescapeBytea((const unsigned char*)"\\x610062", &length));
  HOLDS(BUFFER, held(back, 3));
}

SITE static void encrypt_password(PGconn* connection, giver_back* back) {
  back(PQencryptPasswordConn(connection, "word", "nobody", NULL));
  back(PQencryptPasswordConn(connection, "word", "nobody", "scram-sha-256"));
  HOLDS(BUFFER, held(back, 2));
}

SITE static void encrypt_password_old(giver_back* back) {
  back(PQencryptPassword("word", "nobody"));
  HOLDS(BUFFER, held(back, 1));
}

SITE static void copy_data(PGconn* connection, giver_back* back) {
  PQclear(PQexec(connection, "COPY (SELECT generate_series(1, 20)) TO STDOUT"));
  char* row = NULL;
  while (PQgetCopyData(connection, &row, 0) > 0) back(row);
  drain(connection);
  HOLDS(BUFFER, held(back, 20));
}

static void each_function(giver_back* back) {
  PGconn* connection = open_session();
  notifies(connection, back);
  escape_literal(connection, back);
  escape_identifier(connection, back);
  escape_bytea(connection, back);
  unescape_bytea(back);
  encrypt_password(connection, back);
  encrypt_password_old(back);
  copy_data(connection, back);
}

static void buffers_kept(void) {
  each_function(keep);
}

static void buffers_given_back(void) {
  each_function(by_freemem);
}

static void buffers_freed(void) {
  each_function(by_free);
}

/* Nothing is given, so there is nothing to give back. */
SITE static void fail_to_get(PGconn* connection) {
  MUST(PQescapeLiteral(connection, "\xff\xfe", 2) == NULL, connection);
  MUST(PQescapeIdentifier(connection, "\xff\xfe", 2) == NULL, connection);
  MUST(PQencryptPasswordConn(connection, "word", "nobody", "no-such-way") == NULL, connection);
  MUST(PQunescapeBytea(NULL, NULL) == NULL, NULL);
  MUST(PQnotifies(connection) == NULL, connection);
  char* row = NULL;
  MUST(PQgetCopyData(connection, &row, 0) == -2, connection);
  PQfreemem(NULL);
  HOLDS(BUFFER, 0);
}

static void buffers_refused(void) {
  fail_to_get(open_session());
}

/* ---- Freed by functions of their own -------------------------------------------------------- */

SITE static void leak_cancel(PGconn* connection) {
  for (int i = 0; i < 3; ++i) MUST(PQgetCancel(connection) != NULL, connection);
  HOLDS(BUFFER, 3);
}

SITE static void release_cancel(PGconn* connection) {
  char why[256];
  for (int i = 0; i < 3; ++i) {
    PGcancel* cancel = PQgetCancel(connection);
    MUST(PQcancel(cancel, why, sizeof why), connection);
    PQfreeCancel(cancel);
  }
  MUST(PQgetCancel(NULL) == NULL, NULL);
  PQfreeCancel(NULL);
  HOLDS(BUFFER, 0);
}

SITE static void leak_conninfo(PGconn* connection) {
  MUST(PQconndefaults() != NULL, NULL);
  MUST(PQconninfo(connection) != NULL, connection);
  for (int i = 0; i < 3; ++i) MUST(PQconninfoParse("host=a port=1", NULL) != NULL, NULL);
  HOLDS(BUFFER, 5);
}

SITE static void release_conninfo(PGconn* connection) {
  PQconninfoFree(PQconndefaults());
  PQconninfoFree(PQconninfo(connection));
  PQconninfoFree(PQconninfoParse("host=a port=1", NULL));
  MUST(PQconninfoParse("no_such_option=1", NULL) == NULL, NULL);
  PQconninfoFree(NULL);
  HOLDS(BUFFER, 0);
}

static void cancels(void) {
  PGconn* connection = open_session();
  leak_cancel(connection);
  release_cancel(connection);
}

static void conninfos(void) {
  PGconn* connection = open_session();
  leak_conninfo(connection);
  release_conninfo(connection);
}

const struct scenario buffer_scenarios[] = {{"buffers_kept", buffers_kept},
                                            {"buffers_given_back", buffers_given_back},
                                            {"buffers_freed", buffers_freed},
                                            {"buffers_refused", buffers_refused},
                                            {"cancels", cancels},
                                            {"conninfos", conninfos},
                                            {NULL, NULL}};
