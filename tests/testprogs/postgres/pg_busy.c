/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that does nothing but talk to its server, as fast as it can, until it gets SIGTERM. What
 * it opens it closes at once, but for one statement, one cursor and one result every 20 rounds.
 */
#include <signal.h>
#include <stdio.h>

#include "../testprog.h"
#include "pg_client.h"

static volatile sig_atomic_t is_over;

static void end(int signal) {
  (void)signal;
  is_over = 1;
}

SITE static void close_statements(PGconn* connection, long round) {
  char text[128];
  snprintf(text, sizeof(text), "PREPARE closed_%ld AS SELECT 1", round);
  sql(connection, text);
  snprintf(text, sizeof(text), "DEALLOCATE closed_%ld", round);
  sql(connection, text);
}

SITE static void close_cursors(PGconn* connection) {
  sql(connection, "BEGIN");
  sql(connection, "DECLARE closed CURSOR FOR SELECT 1");
  sql(connection, "COMMIT");
}

SITE static void keep_statements(PGconn* connection, long round) {
  char text[128];
  snprintf(text, sizeof(text), "PREPARE kept_%ld AS SELECT 1", round);
  sql(connection, text);
  HOLDS(STATEMENT, 1);
}

SITE static void keep_cursors(PGconn* connection, long round) {
  char text[128];
  snprintf(text, sizeof(text), "DECLARE kept_%ld CURSOR WITH HOLD FOR SELECT 1", round);
  sql(connection, text);
  HOLDS(CURSOR, 1);
}

SITE static void keep_results(PGconn* connection) {
  MUST(PQexec(connection, "SELECT 1") != NULL, connection);
  HOLDS(RESULT, 1);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  conninfo = argv[1];
  signal(SIGTERM, end);
  PGconn* connection = open_session();
  say_pid("ready");
  for (long round = 0; !is_over; round++) {
    close_statements(connection, round);
    close_cursors(connection);
    if (round % 20 != 0) continue;
    keep_statements(connection, round);
    keep_cursors(connection, round);
    keep_results(connection);
  }
  return say_truth();
}
