/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of large objects: they end with lo_close and with their transaction. */
#include <libpq/libpq-fs.h>

#include "scenarios.h"

static Oid create(PGconn* connection) {
  const Oid object = lo_creat(connection, INV_READ | INV_WRITE);
  MUST(object != InvalidOid, connection);
  return object;
}

static int open_object(PGconn* connection, Oid object) {
  const int descriptor = lo_open(connection, object, INV_READ | INV_WRITE);
  MUST(descriptor >= 0, connection);
  return descriptor;
}

/* Is it open? Asked in a savepoint, which an error does not outlive. */
static int is_open(PGconn* connection, int descriptor) {
  sql(connection, "SAVEPOINT asked");
  const int open = lo_tell(connection, descriptor) >= 0;
  sql(connection, "ROLLBACK TO asked; RELEASE asked");
  return open;
}

SITE static void keep_open(PGconn* connection, Oid object) {
  for (int i = 0; i < 3; ++i) MUST(is_open(connection, open_object(connection, object)), NULL);
  HOLDS(LARGE_OBJECT, 3);
}

SITE static void release_by_close(PGconn* connection, Oid object) {
  for (int i = 0; i < 3; ++i) {
    const int descriptor = open_object(connection, object);
    MUST(lo_close(connection, descriptor) == 0, connection);
    MUST(!is_open(connection, descriptor), connection);
  }
  HOLDS(LARGE_OBJECT, 0);
}

static void large_objects_kept(void) {
  PGconn* connection = open_session();
  const Oid object = create(connection);
  sql(connection, "BEGIN");
  release_by_close(connection, object);
  keep_open(connection, object);
}

SITE static int release_at_end(PGconn* connection, Oid object, const char* end) {
  sql(connection, "BEGIN");
  const int descriptor = open_object(connection, object);
  open_object(connection, object);
  sql(connection, end);
  HOLDS(LARGE_OBJECT, 0);
  return descriptor;
}

/* Outside of a transaction it is closed as soon as it is open. */
SITE static int release_at_once(PGconn* connection, Oid object) {
  HOLDS(LARGE_OBJECT, 0);
  return open_object(connection, object);
}

SITE static void release_by_finish(Oid object) {
  PGconn* connection = open_session();
  sql(connection, "BEGIN");
  open_object(connection, object);
  close_session(connection);
  HOLDS(LARGE_OBJECT, 0);
}

SITE static void fail_to_open(PGconn* connection) {
  MUST(lo_open(connection, 999999999, INV_READ) < 0, connection);
  sql(connection, "BEGIN");
  sql_fails(connection, "SELECT 1/0");
  MUST(lo_open(connection, 1, INV_READ) < 0, connection);
  sql(connection, "ROLLBACK");
  HOLDS(LARGE_OBJECT, 0);
}

static void is_closed(PGconn* connection, int descriptor) {
  sql(connection, "BEGIN");
  MUST(!is_open(connection, descriptor), connection);
  sql(connection, "COMMIT");
}

static void large_objects_ended(void) {
  PGconn* connection = open_session();
  const Oid object = create(connection);
  is_closed(connection, release_at_end(connection, object, "COMMIT"));
  is_closed(connection, release_at_end(connection, object, "ROLLBACK"));
  is_closed(connection, release_at_once(connection, object));
  release_by_finish(object);
  fail_to_open(connection);
}

/* ---- Savepoints ----------------------------------------------------------------------------- */

SITE static int open_in_savepoint(PGconn* connection, Oid object) {
  HOLDS(LARGE_OBJECT, 1);
  return open_object(connection, object);
}

SITE static int keep_before_savepoint(PGconn* connection, Oid object) {
  HOLDS(LARGE_OBJECT, 1);
  return open_object(connection, object);
}

static void large_objects_and_savepoints(void) {
  PGconn* connection = open_session();
  const Oid object = create(connection);
  sql(connection, "BEGIN");
  const int kept = keep_before_savepoint(connection, object);
  sql(connection, "SAVEPOINT s");
  int descriptor = open_in_savepoint(connection, object);
  sql(connection, "ROLLBACK TO s");
  now_holds(LARGE_OBJECT, "open_in_savepoint", -1);
  MUST(!is_open(connection, descriptor), connection);
  descriptor = open_in_savepoint(connection, object);
  sql(connection, "RELEASE s");
  MUST(is_open(connection, descriptor), connection);
  MUST(is_open(connection, kept), connection);
}

const struct scenario large_object_scenarios[] = {
    {"large_objects_kept", large_objects_kept},
    {"large_objects_ended", large_objects_ended},
    {"large_objects_and_savepoints", large_objects_and_savepoints},
    {NULL, NULL}};
