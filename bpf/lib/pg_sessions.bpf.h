/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The sessions of PostgreSQL clients: what is kept of a connection between two probes, the events
 * about it, and where it leads to.
 *
 * A connection is used by one thread at a time (libpq, "Behavior in Threaded Programs"), so nothing
 * in a session is counted atomically.
 */
#ifndef LEAKTRACE_PG_SESSIONS_BPF_H
#define LEAKTRACE_PG_SESSIONS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/libpq.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/sampling.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "leaktrace/pg_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct lt_pg_session_key);
  __type(value, struct lt_pg_session);
} pg_sessions SEC(".maps");

/* Zeros to copy from: too many for the BPF stack. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_pg_session);
} new_pg_session SEC(".maps");

/* ---- Sessions ------------------------------------------------------------------------------- */

/*
 * Probes were away since the session was used last: what became of the commands that it waited for
 * then, and what else was sent, nobody knows. What its transaction is, its next command tells.
 */
static __always_inline void catch_up(struct lt_pg_session* session) {
  if (session->window == sampling.window_from) return;
  session->window = sampling.window_from;
  session->waiting = session->reported = 0;
  session->since_sync = session->draining = session->from_start = 0;
  session->transaction = LT_PG_TRANSACTION_UNKNOWN;
  session->unobserved = session->silent = 1;
}

static __always_inline struct lt_pg_session* pg_session(__u32 image, __u64 connection) {
  struct lt_pg_session_key key = {.connection = connection, .image = image};
  struct lt_pg_session* session = bpf_map_lookup_elem(&pg_sessions, &key);
  if (session) catch_up(session);
  return session;
}

/* Null is counted as a loss. */
static __always_inline struct lt_pg_session* pg_session_or_new(__u32 image, __u64 connection) {
  struct lt_pg_session* session = pg_session(image, connection);
  if (session || !connection) return session;
  struct lt_pg_session_key key = {.connection = connection, .image = image};
  __u32 zero = 0;
  struct lt_pg_session* empty = bpf_map_lookup_elem(&new_pg_session, &zero);
  if (!empty) return NULL;
  int error = bpf_map_update_elem(&pg_sessions, &key, empty, BPF_NOEXIST);
  if (error && error != -EEXIST) {
    lose_insertion(error, LT_LOSS_PG_TABLE_FULL);
    return NULL;
  }
  session = bpf_map_lookup_elem(&pg_sessions, &key);
  if (!session) return NULL;
  session->transaction = LT_PG_TRANSACTION_UNKNOWN;
  session->window = sampling.window_from;
  return session;
}

/* ---- Events --------------------------------------------------------------------------------- */

#define LT_PG_SHORT_BYTES 64 /* room for a tag, and for a BEGIN */

static __always_inline __u32 session_flags(const struct lt_pg_session* session) {
  return (session->from_start ? LT_PG_FROM_START : 0) | (session->lost ? LT_PG_LOST : 0) |
         (session->unobserved ? LT_PG_UNOBSERVED : 0);
}

/* Room for an event with `bytes` of text, a constant; what it is about is filled in. Null when it
 * is lost, which is counted and remembered for the session's next event. */
static __always_inline struct lt_event_pg* new_pg_event(__u32 image, __u64 connection,
                                                        struct lt_pg_session* session, __u8 type,
                                                        __u64 bytes) {
  struct lt_event_pg* event = bpf_ringbuf_reserve(&events, sizeof(*event) + bytes, 0);
  if (!event) {
    lose(LT_LOSS_RING_OVERFLOW);
    session->lost = 1;
    return NULL;
  }
  __builtin_memset(event, 0, sizeof(*event));
  fill_header(&event->header, LT_EVENT_PG, image);
  event->connection = connection;
  event->type = type;
  event->status = LT_PG_STATUS_UNKNOWN;
  event->transaction = LT_PG_TRANSACTION_UNKNOWN;
  event->flags = session_flags(session);
  session->lost = session->unobserved = 0;
  if (bytes) event->text[0] = 0;
  return event;
}

/* An event that says no more than that it happened, where, and one number. */
__weak __noinline int send_pg_note(struct lt_thread* thread, __u64 connection, __u64 stack_id,
                                   __u32 type, __s32 value) {
  if (!thread) return 0;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session_or_new(image, connection);
  if (!session) return 0;
  struct lt_event_pg* event = new_pg_event(image, connection, session, type, LT_PG_SHORT_BYTES);
  if (!event) return 0;
  event->stack_id = stack_id;
  event->value = value;
  bpf_ringbuf_submit(event, without_haste());
  return 0;
}

/* ---- Where a connection leads ---------------------------------------------------------------- */

static __always_inline void read_pg_string(char* to, __u64 connection,
                                           const struct lt_pg_string* where) {
  __u64 at = connection;
  __u64 string = 0;
  to[0] = 0;
  if (where->field == LT_PG_NO_FIELD) return;
  if (where->array != LT_PG_NO_FIELD) {
    __s32 index = pg_int(connection, where->index, 0);
    if (bpf_probe_read_user(&at, sizeof(at), (void*)connection + where->array) || !at) return;
    at += (__s64)index * where->stride;
  }
  if (bpf_probe_read_user(&string, sizeof(string), (void*)at + where->field) || !string) return;
  if (bpf_probe_read_user_str(to, LT_PG_STRING_BYTES, (void*)string) < 0) to[0] = 0;
}

/* Tells user space where a connection leads. `from_start`: it has just been made. */
__weak __noinline int describe_connection(struct lt_thread* thread, __u64 connection,
                                          __u32 layout_index, __u32 from_start, __u64 stack_id) {
  if (!thread) return 0;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session_or_new(image, connection);
  if (!session) return 0;
  if (from_start) {
    session->waiting = session->reported = 0;
    session->executes = session->since_sync = session->draining = session->lost = 0;
    session->broken = session->unnamed = session->unobserved = session->silent = 0;
    session->transaction = LT_PG_TRANSACTION_UNKNOWN;
    session->from_start = 1;
    session->head[0] = 0;
  }
  session->described = from_start ? 1 : 2;
  session->used_ns = bpf_ktime_get_ns();
  struct lt_event_pg* event = new_pg_event(image, connection, session, LT_PG_EVENT_CONNECTED,
                                           sizeof(struct lt_pg_connected));
  if (!event) return 0;
  event->value = from_start;
  event->stack_id = stack_id;
  struct lt_pg_connected* connected = (void*)event->text;
  const struct lt_pg_layout* layout = layout_at(layout_index);
  for (int i = 0; i < LT_PG_STRINGS; i++) connected->string[i][0] = 0;
  if (layout) {
    lt_opaque(layout); /* else clang computes with it before it is known not to be null */
    for (int i = 0; i < LT_PG_STRINGS; i++)
      read_pg_string(connected->string[i], connection, &layout->strings[i]);
  }
  bpf_ringbuf_submit(event, without_haste());
  return 0;
}

/* PQfinish: the object is gone. */
__weak __noinline int finish_connection(struct lt_thread* thread, __u64 connection) {
  if (!thread) return 0;
  __u32 image = thread->image;
  if (!pg_session(image, connection)) return 0;
  send_pg_note(thread, connection, 0, LT_PG_EVENT_FINISHED, 0);
  struct lt_pg_session_key key = {.connection = connection, .image = image};
  bpf_map_delete_elem(&pg_sessions, &key);
  return 0;
}

/* PQreset: another session of the server begins, and all is known of it. */
__weak __noinline int reset_connection(struct lt_thread* thread, __u64 connection) {
  if (!thread) return 0;
  send_pg_note(thread, connection, 0, LT_PG_EVENT_RESET, 0);
  struct lt_pg_session* session = pg_session(thread->image, connection);
  if (!session) return 0;
  session->waiting = session->reported = 0;
  session->executes = session->since_sync = 0;
  session->broken = session->unnamed = 0;
  session->transaction = LT_PG_TRANSACTION_UNKNOWN;
  session->from_start = 1;
  return 0;
}

#endif
