/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_client.h"

#include "../testprog.h"

#define MOST_ENTRIES 256
#define MOST_SESSIONS 64

const char* conninfo;

static struct entry {
  const char* kind;
  const char* function;
  long count;
} entries[MOST_ENTRIES];
static int entry_count;

static struct session {
  PGconn* connection;
  int unasked;
} sessions[MOST_SESSIONS];
static int session_count;

/* Of statements without a name, and of sessions that must not be asked: the server cannot be held
 * against these. */
static int all_asked = 1;

void must_be(int condition, const char* what, PGconn* connection) {
  if (condition) return;
  fprintf(stderr, "not so: %s: %s\n", what, connection ? PQerrorMessage(connection) : "");
  _exit(1);
}

void now_holds(const char* kind, const char* function, long change) {
  for (int i = 0; i < entry_count; ++i) {
    if (strcmp(entries[i].kind, kind) == 0 && strcmp(entries[i].function, function) == 0) {
      entries[i].count += change;
      return;
    }
  }
  must_be(entry_count < MOST_ENTRIES, "room for an entry", NULL);
  entries[entry_count++] = (struct entry){kind, function, change};
}

void ask_at_end(PGconn* connection) {
  int index = 0; /* of one that was closed, or a new one */
  while (index < session_count && sessions[index].connection != NULL) ++index;
  must_be(index < MOST_SESSIONS, "room for a session", NULL);
  sessions[index] = (struct session){connection, 0};
  if (index == session_count) ++session_count;
}

void leave_unasked(PGconn* connection) {
  for (int i = 0; i < session_count; ++i) {
    if (sessions[i].connection == connection) sessions[i].unasked = 1;
  }
}

SITE PGconn* open_session(void) {
  PGconn* connection = PQconnectdb(conninfo);
  must_be(PQstatus(connection) == CONNECTION_OK, "a session", connection);
  HOLDS(CONNECTION, 1);
  ask_at_end(connection);
  return connection;
}

SITE void close_session(PGconn* connection) {
  for (int i = 0; i < session_count; ++i) {
    if (sessions[i].connection == connection) sessions[i].connection = NULL;
  }
  now_holds(CONNECTION, "open_session", -1);
  PQfinish(connection);
}

static int is_error(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

void clear_good(PGconn* connection, PGresult* result) {
  must_be(result != NULL && !is_error(result), "a good result", connection);
  PQclear(result);
}

void clear_bad(PGconn* connection, PGresult* result) {
  must_be(result != NULL && is_error(result), "an error", connection);
  PQclear(result);
}

void sql(PGconn* connection, const char* text) {
  PGresult* result = PQexec(connection, text);
  if (result == NULL || is_error(result)) fprintf(stderr, "%.200s\n", text);
  clear_good(connection, result);
}

void sql_fails(PGconn* connection, const char* text) {
  PGresult* result = PQexec(connection, text);
  if (result == NULL || !is_error(result)) fprintf(stderr, "%.200s\n", text);
  clear_bad(connection, result);
}

void drain(PGconn* connection) {
  for (PGresult* result; (result = PQgetResult(connection)) != NULL;) PQclear(result);
}

int can_be_asked(PGconn* connection) {
  const PGTransactionStatusType status = PQtransactionStatus(connection);
  return PQstatus(connection) == CONNECTION_OK && PQpipelineStatus(connection) == PQ_PIPELINE_OFF &&
         (status == PQTRANS_IDLE || status == PQTRANS_INTRANS);
}

/* The rows of a query, a line each, whose last column is a name. */
static long say_rows(int index, PGconn* connection, const char* word, const char* query) {
  PGresult* result = PQexec(connection, query);
  must_be(PQresultStatus(result) == PGRES_TUPLES_OK, query, connection);
  const int rows = PQntuples(result), columns = PQnfields(result);
  for (int row = 0; row < rows; ++row) {
    printf("%s %d", word, index);
    for (int column = 0; column < columns; ++column) {
      printf(" %s", PQgetvalue(result, row, column));
    }
    printf("\n");
  }
  PQclear(result);
  return rows;
}

void say_session(int index, PGconn* connection, struct session_counts* counts) {
  counts->cursors += say_rows(index, connection, "cursor",
                              "SELECT CASE WHEN is_holdable THEN 'hold' ELSE 'transaction' END, "
                              "name FROM pg_cursors WHERE name <> '' ORDER BY 2");
  counts->statements += say_rows(index, connection, "statement",
                                 "SELECT name FROM pg_prepared_statements ORDER BY 1");
}

static void say_sessions(struct session_counts* counts) {
  for (int i = 0; i < session_count; ++i) {
    PGconn* connection = sessions[i].connection;
    if (connection == NULL) continue;
    printf("connection %d %p\n", i, (void*)connection);
    if (!sessions[i].unasked && can_be_asked(connection)) {
      say_session(i, connection, counts);
    } else {
      printf("unasked %d\n", i);
      all_asked = 0;
    }
  }
}

static int is_so(const char* kind, long server) {
  long truth = 0;
  for (int i = 0; i < entry_count; ++i) {
    if (strcmp(entries[i].kind, kind) == 0) truth += entries[i].count;
  }
  if (truth == server || (!all_asked && truth > server)) return 1;
  fprintf(stderr, "%s: %ld, but the server says %ld\n", kind, truth, server);
  return 0;
}

int say_truth(void) {
  struct session_counts counts = {0, 0};
  say_sessions(&counts);
  for (int i = 0; i < entry_count; ++i) {
    printf("holds %s %s %ld\n", entries[i].kind, entries[i].function, entries[i].count);
  }
  fflush(stdout);
  const int cursors = is_so(CURSOR, counts.cursors);
  const int statements = is_so(STATEMENT, counts.statements);
  return cursors && statements ? 0 : 3;
}
