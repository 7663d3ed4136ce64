/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: made by each function, never made, made again, and never finished. */
#include <poll.h>
#include <pthread.h>

#include "scenarios.h"

static PGconn* good(PGconn* connection) {
  MUST(PQstatus(connection) == CONNECTION_OK, connection);
  return connection;
}

static PGconn* bad(PGconn* connection) {
  MUST(connection != NULL && PQstatus(connection) == CONNECTION_BAD, connection);
  return connection;
}

typedef PostgresPollingStatusType poll_function(PGconn*);

/* Goes on with a connect or reset that was started, to its end. */
static void finish_polling(PGconn* connection, poll_function* next) {
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
    struct pollfd ready = {PQsocket(connection), status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                           0};
    if (ready.fd >= 0) poll(&ready, 1, 1000);
    status = next(connection);
  }
}

static PGconn* connect_polling(PGconn* connection) {
  finish_polling(connection, PQconnectPoll);
  return connection;
}

/* The conninfo as PQconnectdbParams and PQsetdbLogin want it. */
#define MOST_KEYWORDS 8
static const char* keywords[MOST_KEYWORDS + 1];
static const char* values[MOST_KEYWORDS + 1];

static void split_conninfo(const char* text) {
  PQconninfoOption* options = PQconninfoParse(text, NULL);
  MUST(options != NULL, NULL);
  int count = 0;
  for (PQconninfoOption* option = options; option->keyword != NULL; ++option) {
    if (option->val == NULL || count == MOST_KEYWORDS) continue;
    keywords[count] = strdup(option->keyword);
    values[count++] = strdup(option->val);
  }
  keywords[count] = values[count] = NULL;
  PQconninfoFree(options);
}

static const char* value_of(const char* keyword) {
  for (int i = 0; keywords[i] != NULL; ++i) {
    if (strcmp(keywords[i], keyword) == 0) return values[i];
  }
  return NULL;
}

SITE static void leak_by_connectdb(void) {
  for (int i = 0; i < 3; ++i) ask_at_end(good(PQconnectdb(conninfo)));
  HOLDS(CONNECTION, 3);
}

SITE static void leak_by_connectdb_params(void) {
  for (int i = 0; i < 2; ++i) ask_at_end(good(PQconnectdbParams(keywords, values, 0)));
  HOLDS(CONNECTION, 2);
}

SITE static void leak_by_connect_start(void) {
  for (int i = 0; i < 2; ++i) ask_at_end(good(connect_polling(PQconnectStart(conninfo))));
  HOLDS(CONNECTION, 2);
}

SITE static void leak_by_connect_start_params(void) {
  ask_at_end(good(connect_polling(PQconnectStartParams(keywords, values, 0))));
  HOLDS(CONNECTION, 1);
}

SITE static void leak_by_setdb_login(void) {
  ask_at_end(good(PQsetdbLogin(value_of("host"), value_of("port"), NULL, NULL, value_of("dbname"),
                               value_of("user"), NULL)));
  HOLDS(CONNECTION, 1);
}

SITE static void release_each_kind(void) {
  for (int i = 0; i < 2; ++i) {
    PQfinish(good(PQconnectdb(conninfo)));
    PQfinish(good(PQconnectdbParams(keywords, values, 0)));
    PQfinish(good(connect_polling(PQconnectStart(conninfo))));
    PQfinish(good(connect_polling(PQconnectStartParams(keywords, values, 0))));
    PQfinish(good(PQsetdbLogin(value_of("host"), NULL, NULL, NULL, "postgres", "postgres", NULL)));
  }
  HOLDS(CONNECTION, 0);
}

/* Left in the middle, before it has connected. */
SITE static void leak_half_connected(void) {
  PGconn* connection = PQconnectStart(conninfo);
  MUST(connection != NULL, NULL);
  PQconnectPoll(connection);
  HOLDS(CONNECTION, 1);
}

SITE static void release_half_connected(void) {
  PGconn* connection = PQconnectStart(conninfo);
  PQconnectPoll(connection);
  PQfinish(connection);
  HOLDS(CONNECTION, 0);
}

/* PQping makes a connection of its own and finishes it. */
SITE static void release_by_ping(void) {
  MUST(PQping(conninfo) == PQPING_OK, NULL);
  MUST(PQping(NOWHERE) == PQPING_NO_RESPONSE, NULL);
  MUST(PQpingParams(keywords, values, 0) == PQPING_OK, NULL);
  HOLDS(CONNECTION, 0);
}

static void connections_made(void) {
  split_conninfo(conninfo);
  leak_by_connectdb();
  leak_by_connectdb_params();
  leak_by_connect_start();
  leak_by_connect_start_params();
  leak_by_setdb_login();
  leak_half_connected();
}

static void connections_finished(void) {
  split_conninfo(conninfo);
  release_each_kind();
  release_half_connected();
  release_by_ping();
}

SITE static void leak_failed_connectdb(void) {
  for (int i = 0; i < 3; ++i) bad(PQconnectdb(NOWHERE));
  HOLDS(CONNECTION, 3);
}

SITE static void leak_failed_connectdb_params(void) {
  for (int i = 0; i < 2; ++i) bad(PQconnectdbParams(keywords, values, 0));
  HOLDS(CONNECTION, 2);
}

SITE static void leak_failed_connect_start(void) {
  for (int i = 0; i < 2; ++i) bad(connect_polling(PQconnectStart(NOWHERE)));
  bad(connect_polling(PQconnectStartParams(keywords, values, 0)));
  HOLDS(CONNECTION, 3);
}

SITE static void leak_failed_setdb_login(void) {
  bad(PQsetdbLogin("/nonexistent/leaktrace", NULL, NULL, NULL, "nothing", "nobody", NULL));
  HOLDS(CONNECTION, 1);
}

/* The words are wrong, so that nothing was tried; still there is an object. */
SITE static void leak_of_bad_option(void) {
  bad(PQconnectdb("no_such_option=1"));
  bad(PQconnectdb("host='unterminated"));
  HOLDS(CONNECTION, 2);
}

/* The server itself refuses it. */
SITE static void leak_of_refused(void) {
  static char words[512];
  snprintf(words, sizeof words, "%s dbname=no_such_database", conninfo);
  bad(PQconnectdb(words));
  HOLDS(CONNECTION, 1);
}

SITE static void release_failed(void) {
  PQfinish(bad(PQconnectdb(NOWHERE)));
  PQfinish(bad(PQconnectdbParams(keywords, values, 0)));
  PQfinish(bad(connect_polling(PQconnectStart(NOWHERE))));
  PQfinish(bad(connect_polling(PQconnectStartParams(keywords, values, 0))));
  PQfinish(bad(PQsetdbLogin("/nonexistent/leaktrace", NULL, NULL, NULL, NULL, NULL, NULL)));
  PQfinish(bad(PQconnectdb("no_such_option=1")));
  HOLDS(CONNECTION, 0);
}

static void connections_failed(void) {
  split_conninfo(NOWHERE);
  leak_failed_connectdb();
  leak_failed_connectdb_params();
  leak_failed_connect_start();
  leak_failed_setdb_login();
  leak_of_bad_option();
  leak_of_refused();
  release_failed();
}

/* What the session has open, none of which outlives a reset. */
SITE static void release_by_reset(PGconn* connection) {
  clear_good(connection, PQprepare(connection, "lost", "SELECT 1", 0, NULL));
  sql(connection, "DECLARE lost CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "BEGIN; DECLARE lost_too CURSOR FOR SELECT 1");
  HOLDS(STATEMENT, 0);
  HOLDS(CURSOR, 0);
}

SITE static void keep_after_reset(PGconn* connection) {
  clear_good(connection, PQprepare(connection, "lost", "SELECT 2", 0, NULL));
  sql(connection, "DECLARE after CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(STATEMENT, 1);
  HOLDS(CURSOR, 1);
}

static void connections_reset(void) {
  PGconn* blocking = open_session();
  release_by_reset(blocking);
  PQreset(blocking);
  keep_after_reset(good(blocking));
  PGconn* polled = open_session();
  release_by_reset(polled);
  MUST(PQresetStart(polled), polled);
  finish_polling(polled, PQresetPoll);
  keep_after_reset(good(polled));
}

/* The server ends a session: the object stays, what the session held is gone. */
static void connections_ended_by_server(void) {
  PGconn* victim = open_session();
  PGconn* other = open_session();
  release_by_reset(victim);
  static char text[64];
  snprintf(text, sizeof text, "SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(victim));
  sql(other, text);
  sql_fails(victim, "SELECT 1");
  bad(victim);
}

static void* finish_there(void* connection) {
  PQfinish(connection);
  return NULL;
}

SITE static void release_in_another_thread(void) {
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, finish_there, good(PQconnectdb(conninfo))) == 0, NULL);
    pthread_join(thread, NULL);
  }
  HOLDS(CONNECTION, 0);
}

static void* leak_in_a_thread(void* unused) {
  for (int i = 0; i < 4; ++i) bad(PQconnectdb(NOWHERE));
  return unused;
}

static void connections_of_threads(void) {
  release_in_another_thread();
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, leak_in_a_thread, NULL);
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  now_holds(CONNECTION, "leak_in_a_thread", 16);
}

const struct scenario connection_scenarios[] = {
    {"connections_made", connections_made},
    {"connections_finished", connections_finished},
    {"connections_failed", connections_failed},
    {"connections_reset", connections_reset},
    {"connections_ended_by_server", connections_ended_by_server},
    {"connections_of_threads", connections_of_threads},
    {NULL, NULL}};
