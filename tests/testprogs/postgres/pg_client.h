/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the clients of PostgreSQL share: the truth that a client knows of itself, and what its
 * sessions say of themselves at the server. At the end a client says, one a line:
 *
 *   connection INDEX 0xHANDLE             a session that is open
 *   cursor INDEX hold|transaction NAME    as it reads from its pg_cursors
 *   statement INDEX NAME                  as it reads from its pg_prepared_statements
 *   unasked INDEX                         it is in a state in which it cannot be asked
 *   holds KIND FUNCTION COUNT             what was acquired there and is still held
 */
#ifndef PG_CLIENT_H
#define PG_CLIENT_H

#include <libpq-fe.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CONNECTION "pg.connection"
#define RESULT "pg.result"
#define STATEMENT "pg.statement"
#define CURSOR "pg.cursor"
#define COPY "pg.copy"
#define BUFFER "pg.buffer"
#define LARGE_OBJECT "pg.large_object"

/* Where sessions lead to. */
extern const char* conninfo;

/* What `function` holds has changed by so much; with 0 it is said that it holds nothing. */
void now_holds(const char* kind, const char* function, long change);
#define HOLDS(kind, change) now_holds(kind, __func__, change)

/* Ends the program, with the connection's error, when something is not as it should be. */
void must_be(int condition, const char* what, PGconn* connection);
#define MUST(condition, connection) must_be((condition) != 0, #condition, connection)

/* A session, made in this very function. The truth holds it until close_session. */
PGconn* open_session(void);
void close_session(PGconn* connection);
/* A session that was made elsewhere is to be asked at the end, too. */
void ask_at_end(PGconn* connection);
/* It must not be asked: a query would end what it holds. */
void leave_unasked(PGconn* connection);

/* SQL whose last result must not be an error; SQL whose last result must be one. */
void sql(PGconn* connection, const char* text);
void sql_fails(PGconn* connection, const char* text);
/* Clears a result, which must, or must not, be an error. */
void clear_good(PGconn* connection, PGresult* result);
void clear_bad(PGconn* connection, PGresult* result);
/* Takes and clears results until there are no more. */
void drain(PGconn* connection);

/* Prints the lines of one session; how many cursors and statements it has is added up. */
struct session_counts {
  long cursors;
  long statements;
};
void say_session(int index, PGconn* connection, struct session_counts* counts);
/* Can the session answer a query without losing what it holds? */
int can_be_asked(PGconn* connection);

/* Says all. Returns 0 when the truth is what the server says of the sessions. */
int say_truth(void);

#ifdef __cplusplus
}
#endif

#endif
