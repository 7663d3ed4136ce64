/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpq has a result that is no one's, for when there is no memory for one: pg_no_memory CONNINFO.
 * Its malloc is the one below, which fails when it is told to.
 */
#include <poll.h>

#include "../testprog.h"
#include "pg_client.h"

void* __libc_malloc(size_t size);

static volatile int no_memory;

void* malloc(size_t size) {
  return no_memory ? NULL : __libc_malloc(size);
}

/* The answer has come, but there is no memory to make a result of it. */
SITE static PGresult* get_result_without_memory(PGconn* connection) {
  MUST(PQsendQuery(connection, "SELECT 1"), connection);
  struct pollfd ready = {PQsocket(connection), POLLIN, 0};
  poll(&ready, 1, 10000);
  no_memory = 1;
  PGresult* result = PQgetResult(connection);
  no_memory = 0;
  HOLDS(RESULT, 0);
  return result;
}

SITE static void leak_result(PGconn* connection) {
  MUST(PQexec(connection, "SELECT 1") != NULL, connection);
  HOLDS(RESULT, 1);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  conninfo = argv[1];
  const struct testprog self = testprog_begin(argc - 1, argv + 1, 0);
  PGconn* connection = open_session();
  PGresult* first = get_result_without_memory(connection);
  drain(connection);
  PGresult* second = get_result_without_memory(connection);
  MUST(first == second && PQresultStatus(first) == PGRES_FATAL_ERROR, connection);
  drain(connection);
  PQclear(first); /* which does nothing, any number of times */
  PQclear(first);
  PQclear(second);
  leak_result(connection);
  const int status = say_truth();
  say_pid("done");
  if (self.linger) await_signal(SIGTERM);
  return status;
}
