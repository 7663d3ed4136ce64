/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library to be preloaded, that counts what a client of libpq acquires and releases, without any
 * probe. At the program's end it says on stderr "ledger KIND COUNT" of what is still held. libpq
 * calls its own functions through the same names: only the outermost call counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { CONNECTION, RESULT, BUFFER, KINDS };
static const char* const names[KINDS] = {"pg.connection", "pg.result", "pg.buffer"};

/* What is held, by a hash of its address. */
enum { PLACES = 1 << 17 };
static struct place {
  const void* handle; /* NULL: never used; RELEASED: used before */
  enum kind kind;
} places[PLACES];
#define RELEASED ((const void*)1)

static long held[KINDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread int depth[KINDS];

static struct place* place_of(const void* handle) {
  size_t at = ((uintptr_t)handle >> 4) * 2654435761u % PLACES;
  while (places[at].handle != NULL && places[at].handle != handle) at = (at + 1) % PLACES;
  return &places[at];
}

static void add(enum kind kind, const void* handle) {
  if (handle == NULL) return;
  pthread_mutex_lock(&mutex);
  struct place* place = place_of(handle);
  if (place->handle == NULL) {
    *place = (struct place){handle, kind};
    ++held[kind];
  }
  pthread_mutex_unlock(&mutex);
}

static void drop(const void* handle) {
  if (handle == NULL) return;
  pthread_mutex_lock(&mutex);
  struct place* place = place_of(handle);
  if (place->handle != NULL) {
    --held[place->kind];
    place->handle = RELEASED;
  }
  pthread_mutex_unlock(&mutex);
}

/* The function that this library stands in front of. */
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

#define ACQUIRES(kind, type, name, parameters, arguments) \
  type name parameters {                                  \
    ++depth[kind];                                        \
    type got = REAL(name) arguments;                      \
    if (--depth[kind] == 0) add(kind, got);               \
    return got;                                           \
  }

#define RELEASES(type, name) \
  void name(type* handle) {  \
    drop(handle);            \
    REAL(name)(handle);      \
  }

typedef const char* const* texts;

ACQUIRES(CONNECTION, PGconn*, PQconnectdb, (const char* a), (a))
ACQUIRES(CONNECTION, PGconn*, PQconnectStart, (const char* a), (a))
ACQUIRES(CONNECTION, PGconn*, PQconnectdbParams, (texts a, texts b, int c), (a, b, c))
ACQUIRES(CONNECTION, PGconn*, PQconnectStartParams, (texts a, texts b, int c), (a, b, c))
ACQUIRES(CONNECTION, PGconn*, PQsetdbLogin,
         (const char* a, const char* b, const char* c, const char* d, const char* e, const char* f,
          const char* g),
         (a, b, c, d, e, f, g))
RELEASES(PGconn, PQfinish)

ACQUIRES(RESULT, PGresult*, PQexec, (PGconn * a, const char* b), (a, b))
ACQUIRES(RESULT, PGresult*, PQexecParams,
         (PGconn * a, const char* b, int c, const Oid* d, texts e, const int* f, const int* g,
          int h),
         (a, b, c, d, e, f, g, h))
ACQUIRES(RESULT, PGresult*, PQexecPrepared,
         (PGconn * a, const char* b, int c, texts d, const int* e, const int* f, int g),
         (a, b, c, d, e, f, g))
ACQUIRES(RESULT, PGresult*, PQprepare,
         (PGconn * a, const char* b, const char* c, int d, const Oid* e), (a, b, c, d, e))
ACQUIRES(RESULT, PGresult*, PQdescribePrepared, (PGconn * a, const char* b), (a, b))
ACQUIRES(RESULT, PGresult*, PQdescribePortal, (PGconn * a, const char* b), (a, b))
ACQUIRES(RESULT, PGresult*, PQgetResult, (PGconn * a), (a))
ACQUIRES(RESULT, PGresult*, PQfn,
         (PGconn * a, int b, int* c, int* d, int e, const PQArgBlock* f, int g),
         (a, b, c, d, e, f, g))
ACQUIRES(RESULT, PGresult*, PQcopyResult, (const PGresult* a, int b), (a, b))
ACQUIRES(RESULT, PGresult*, PQmakeEmptyPGresult, (PGconn * a, ExecStatusType b), (a, b))
RELEASES(PGresult, PQclear)

ACQUIRES(BUFFER, PGnotify*, PQnotifies, (PGconn * a), (a))
ACQUIRES(BUFFER, char*, PQescapeLiteral, (PGconn * a, const char* b, size_t c), (a, b, c))
ACQUIRES(BUFFER, char*, PQescapeIdentifier, (PGconn * a, const char* b, size_t c), (a, b, c))
ACQUIRES(BUFFER, unsigned char*, PQescapeByteaConn,
         (PGconn * a, const unsigned char* b, size_t c, size_t* d), (a, b, c, d))
ACQUIRES(BUFFER, unsigned char*, PQescapeBytea, (const unsigned char* a, size_t b, size_t* c),
         (a, b, c))
ACQUIRES(BUFFER, unsigned char*, PQunescapeBytea, (const unsigned char* a, size_t* b), (a, b))
ACQUIRES(BUFFER, char*, PQencryptPasswordConn,
         (PGconn * a, const char* b, const char* c, const char* d), (a, b, c, d))
ACQUIRES(BUFFER, char*, PQencryptPassword, (const char* a, const char* b), (a, b))
ACQUIRES(BUFFER, PGcancel*, PQgetCancel, (PGconn * a), (a))
ACQUIRES(BUFFER, PQconninfoOption*, PQconndefaults, (void), ())
ACQUIRES(BUFFER, PQconninfoOption*, PQconninfo, (PGconn * a), (a))
ACQUIRES(BUFFER, PQconninfoOption*, PQconninfoParse, (const char* a, char** b), (a, b))
RELEASES(void, PQfreemem)
RELEASES(PGcancel, PQfreeCancel)
RELEASES(PQconninfoOption, PQconninfoFree)

int PQgetCopyData(PGconn* connection, char** buffer, int async) {
  const int size = REAL(PQgetCopyData)(connection, buffer, async);
  if (size > 0) add(BUFFER, *buffer);
  return size;
}

void __libc_free(void* block);

void free(void* block) {
  drop(block);
  __libc_free(block);
}

__attribute__((destructor)) static void say_held(void) {
  for (int kind = 0; kind < KINDS; ++kind) {
    char line[64];
    const int size = snprintf(line, sizeof line, "ledger %s %ld\n", names[kind], held[kind]);
    if (write(STDERR_FILENO, line, (size_t)size) < 0) return;
  }
}

/* Programs that end without their destructors. */
void _exit(int status) {
  say_held();
  syscall(SYS_exit_group, status);
  __builtin_unreachable();
}
