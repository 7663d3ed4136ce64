/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The part of the contract between the BPF programs and user space that is about libpq: what a
 * hooked function is to a connection, where libpq keeps what is read of its objects, and the events
 * that tell user space what a client does with its sessions.
 */
#ifndef LEAKTRACE_PG_ABI_H
#define LEAKTRACE_PG_ABI_H

#include "leaktrace/abi.h"

/* ---- Where libpq keeps things ------------------------------------------------------------- */

/* A field that could not be found in this libpq, or that it does not have. */
#define LT_PG_NO_FIELD 0xffffffffu

/*
 * A string of a connection: *(char**)(conn + field), or, of a connection that was given several
 * hosts, of the entry that is in use:
 *
 *   *(char**)(*(char**)(conn + array) + *(int*)(conn + index) * stride + field)
 */
struct lt_pg_string {
  __u32 field; /* LT_PG_NO_FIELD: unknown */
  __u32 array; /* LT_PG_NO_FIELD: it is in the connection itself */
  __u32 index;
  __u32 stride; /* bytes */
};
LT_ASSERT_SIZE(struct lt_pg_string, 16);

enum lt_pg_string_of {
  LT_PG_HOST = 0,
  LT_PG_HOSTADDR = 1, /* in use where no host is named */
  LT_PG_PORT = 2,
  LT_PG_DATABASE = 3,
  LT_PG_USER = 4,
  LT_PG_STRINGS = 5,
};

/* Offsets in one build of libpq, in bytes, as its own accessor functions have them. */
struct lt_pg_layout {
  __u32 result_status;     /* ExecStatusType, in PGresult: PQresultStatus */
  __u32 result_tag;        /* char[64], in it: PQcmdStatus */
  __u32 result_memory;     /* size_t, in it: PQresultMemorySize (12) */
  __u32 connection_status; /* ConnStatusType, in PGconn: PQstatus */
  __u32 transaction;       /* PGTransactionStatusType, in it: PQtransactionStatus */
  __u32 pipeline;          /* PGpipelineStatus, in it: PQpipelineStatus (14) */
  /* Of an object that holds nothing but libpq: the size of its code, so that calls from inside can
   * be told (LT_COOKIE_CODE_PAGES); else 0. The tracer fills it in. */
  __u32 code_bytes;
  __u32 async_status; /* PGAsyncStatusType, in PGconn; filled in by the tracer */
  struct lt_pg_string strings[LT_PG_STRINGS];
};
LT_ASSERT_SIZE(struct lt_pg_layout, 112);
#define LT_PG_MAX_LAYOUTS 256 /* copies of libpq that are known at once; 0 is none */

/* ---- What a hooked function is to a connection --------------------------------------------- */

/* The connection is the first argument, unless it says otherwise. */
enum lt_pg_role {
  LT_PG_NO_ROLE = 0,
  LT_PG_CONNECT = 1, /* returns a connection */
  LT_PG_FINISH = 2,
  LT_PG_RESET = 3,
  LT_PG_COMMAND = 4,    /* puts a command into the queue: lt_row.pg_command says which */
  LT_PG_RUN = 5,        /* the same, and brings its last result: PQexec */
  LT_PG_GET_RESULT = 6, /* PQgetResult */
  LT_PG_PIPELINE_ENTER = 7,
  LT_PG_PIPELINE_LEAVE = 8,
  LT_PG_ROW_MODE = 9,
  LT_PG_LO_OPEN = 10,  /* returns a descriptor of a large object */
  LT_PG_LO_CLOSE = 11, /* the second argument is one */
  LT_PG_RESULT = 12,   /* another function that makes a result, or ends one */
};

/* How a command is sent; the values are those of postgres::CommandKind. */
enum lt_pg_command {
  LT_PG_QUERY = 1,           /* (conn, sql) */
  LT_PG_PARAMETERS = 2,      /* (conn, sql, …) */
  LT_PG_PREPARE = 3,         /* (conn, name, sql, …) */
  LT_PG_EXECUTE = 4,         /* (conn, name, …) */
  LT_PG_DESCRIBE = 5,        /* (conn, name) */
  LT_PG_CLOSE_STATEMENT = 6, /* (conn, name) */
  LT_PG_CLOSE_PORTAL = 7,    /* (conn, name) */
  LT_PG_SYNC = 8,            /* (conn) */
};

/* ---- Events -------------------------------------------------------------------------------- */

/* The values are those of postgres::EventType. */
enum lt_pg_event_type {
  LT_PG_EVENT_CONNECTED = 1,
  LT_PG_EVENT_COMMAND = 2,
  LT_PG_EVENT_WITHDRAWN = 3,
  LT_PG_EVENT_RESULT = 4,
  LT_PG_EVENT_DONE = 5,
  LT_PG_EVENT_RESET = 6,
  LT_PG_EVENT_FINISHED = 7,
  LT_PG_EVENT_PIPELINE_ENTERED = 8,
  LT_PG_EVENT_PIPELINE_LEFT = 9,
  LT_PG_EVENT_ROW_MODE = 10,
  LT_PG_EVENT_LO_OPENED = 11,
  LT_PG_EVENT_LO_CLOSED = 12,
  LT_PG_EVENT_EXAMPLE = 13,
};

enum lt_pg_event_flags {
  LT_PG_CUT = 1 << 0,         /* the text goes on */
  LT_PG_UNANNOUNCED = 1 << 1, /* a result whose command was not sent to user space */
  LT_PG_BROKEN = 1 << 2,      /* CONNECTION_BAD */
  LT_PG_PIPELINE = 1 << 3,    /* in pipeline mode */
  LT_PG_LOST = 1 << 4,        /* an event of this connection was lost before */
  LT_PG_FROM_START = 1 << 5,  /* seen since the connection was made */
  LT_PG_UNOBSERVED = 1 << 6,  /* before it, probes were away for a time */
};

/* PGASYNC_IDLE: no command is under way, and PQgetResult returns null. */
#define LT_PG_ASYNC_IDLE 0

#define LT_PG_STATUS_UNKNOWN 255    /* of a result */
#define LT_PG_TRANSACTION_UNKNOWN 4 /* PQTRANS_UNKNOWN */

#define LT_PG_NAME_BYTES 64   /* with the final 0; the server keeps 63 of a name */
#define LT_PG_HEAD_BYTES 512  /* of SQL that are always read, with the final 0 */
#define LT_PG_MOST_TEXT 65536 /* that can be asked for */

/* A text follows, ended by 0, or cut (LT_PG_CUT) at what the event has room for. */
struct lt_event_pg {
  struct lt_event_header header;
  __u64 connection;
  __u64 stack_id;
  __u8 type;        /* enum lt_pg_event_type */
  __u8 command;     /* enum lt_pg_command */
  __u8 status;      /* ExecStatusType of a result */
  __u8 transaction; /* PGTransactionStatusType */
  __u32 flags;      /* enum lt_pg_event_flags */
  __u32 ahead;      /* commands in the queue before this one */
  __s32 value; /* descriptor of a large object; of LT_PG_EVENT_ROW_MODE 1: single, 2: chunked */
  char name[LT_PG_NAME_BYTES];
  char text[];
};
LT_ASSERT_SIZE(struct lt_event_pg, 120);

/* Of LT_PG_EVENT_CONNECTED the text is this. Strings are ended by 0, and cut. */
#define LT_PG_STRING_BYTES 128
struct lt_pg_connected {
  char string[LT_PG_STRINGS][LT_PG_STRING_BYTES]; /* by enum lt_pg_string_of */
};

/* ---- What the kernel side keeps of a connection --------------------------------------------- */

struct lt_pg_session_key {
  __u64 connection;
  __u32 image;
  __u32 reserved;
};
LT_ASSERT_SIZE(struct lt_pg_session_key, 16);

struct lt_pg_session {
  __u64 used_ns;    /* when its last command was sent or done */
  __u64 window;     /* of observation that all the rest is of */
  __u32 waiting;    /* commands in its queue */
  __u32 reported;   /* the first so many of them include all that user space was told of */
  __u8 transaction; /* as user space was told */
  __u8 from_start;
  __u8 described;      /* 1: at its making; 2: in use */
  __u8 lost;           /* an event of it, since the last one that was not */
  __u8 executes;       /* a statement was prepared whose execution may matter */
  __u8 since_sync;     /* user space was told of a command after the last sync of a pipeline */
  __u8 draining;       /* PQexec and the like take what is left of the command before */
  __u8 broken : 1;     /* as user space was told */
  __u8 unnamed : 1;    /* there may be an unnamed statement, which the next SQL ends */
  __u8 unobserved : 1; /* before this window; its next event says so */
  __u8 silent : 1;     /* no command of it was seen yet in this window */
  char head[LT_PG_HEAD_BYTES]; /* of the newest command's SQL */
};
LT_ASSERT_SIZE(struct lt_pg_session, 544);

#endif /* LEAKTRACE_PG_ABI_H */
