/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a client of PostgreSQL does with its connections, as far as user space must be told of it.
 *
 *   connection ──▶ session { commands that wait for results, those that were reported }
 *
 * - A command is sent: is it quiet? A SELECT and the like opens and closes nothing at the server,
 * so nobody is told of it; of another its SQL and its stack are reported.
 * - A result arrives: it is reported when its command was, or one before it in the queue.
 * - The last result has arrived: likewise, and when the transaction is another than it was.
 *
 * What the SQL means is for user space to find out, by the server's own grammar. Here it is only
 * looked at as far as spares an event for each SELECT: what is not sure to be quiet is reported.
 *
 * SQL is read when its function is entered, if it is in memory: a program cannot wait for a page
 * that nobody has touched yet, as that of a string literal. Then it is read when libpq has read it,
 * but has not returned from the function, or, when it sent it only, returns
 * (send_deferred_command).
 */
#ifndef LEAKTRACE_POSTGRES_BPF_H
#define LEAKTRACE_POSTGRES_BPF_H

#include "bpf/lib/pg_sessions.bpf.h"
#include "bpf/lib/quiet_sql.bpf.h"

/* Bytes of SQL that are read at most, with the final 0. */
const volatile __u32 pg_text_bytes = 4096;

/* ---- Sending commands ----------------------------------------------------------------------- */

/* In a session's head, before the name of a prepared statement that is executed. */
#define LT_PG_NAME_MARK 1

static __always_inline void keep_executed_name(struct lt_pg_sending* sending,
                                               struct lt_pg_session* session) {
  session->head[0] = LT_PG_NAME_MARK;
  if (bpf_probe_read_user_str(session->head + 1, LT_PG_NAME_BYTES, (void*)sending->name) > 0)
    return;
  session->head[1] = 0;
}

/* Reads the SQL's head into the session. */
static __always_inline void read_sql_head(struct lt_pg_sending* sending,
                                          struct lt_pg_session* session) {
  session->head[0] = 0;
  sending->sql_bytes = 0;
  if (!sending->sql) return; /* libpq declines it */
  long bytes = bpf_probe_read_user_str(session->head, LT_PG_HEAD_BYTES, (void*)sending->sql);
  if (bytes > 0) {
    sending->sql_bytes = bytes;
    return;
  }
  session->head[0] = 0;
  sending->deferred = 1;
}

/* Is the name of a command that is reported in memory? */
static __always_inline int has_name_in_memory(struct lt_thread* thread) {
  const void* name = (const void*)thread->pg_sending.name;
  return !name || bpf_probe_read_user_str(thread->pg_read, LT_PG_NAME_BYTES, name) > 0;
}

/* Is the command that is being sent to be reported? Leaves what was read of it in the session. */
static __always_inline int is_loud_command(struct lt_pg_sending* sending,
                                           struct lt_pg_session* session) {
  char first = 0;
  int quiet;
  switch (sending->command) {
    case LT_PG_QUERY:
    case LT_PG_PARAMETERS:
      read_sql_head(sending, session);
      quiet = is_quiet_sql(session, sending->sql_bytes) && !session->unnamed;
      session->unnamed = 0;
      return sending->sql && !quiet;
    case LT_PG_PREPARE:
      read_sql_head(sending, session);
      bpf_probe_read_user(&first, sizeof(first), (void*)sending->name);
      if (!first) session->unnamed = 1;
      if (sending->sql && !is_quiet_sql(session, sending->sql_bytes)) session->executes = 1;
      return 1;
    case LT_PG_EXECUTE:
      keep_executed_name(sending, session);
      return session->executes;
    case LT_PG_DESCRIBE:
      return 0;
    case LT_PG_SYNC:
      return session->since_sync;
    default:
      return 1;
  }
}

/*
 * A command is about to be put into the queue of the connection thread->pg_sending names. Returns 1
 * when it is to be reported (send_command). Counts it in either case: that it could not be sent is
 * learned, of those that are reported, when the function returns (withdraw_command).
 *
 * Outside a pipeline a command is sent only when all before it have brought their results, or it is
 * refused; so what seems to wait there was never sent. `drains`: the function itself takes the
 * results of those before.
 */
__weak __noinline int begin_command(struct lt_thread* thread, int drains) {
  if (!thread) return 0;
  struct lt_pg_sending* sending = &thread->pg_sending;
  struct lt_pg_session* session = pg_session_or_new(thread->image, sending->connection);
  if (!session) return 0;
  const struct lt_pg_layout* layout = layout_at(sending->layout);
  __u32 pipeline = layout ? pg_int(sending->connection, layout->pipeline, 0) : 0;
  if (session->described < 2)
    describe_connection(thread, sending->connection, sending->layout, 0, 0);
  session->used_ns = bpf_ktime_get_ns();
  session->silent = 0;
  if (!pipeline && !drains && !session->reported) session->waiting = 0;
  sending->deferred = 0;
  int loud = is_loud_command(sending, session);
  if (loud && !has_name_in_memory(thread)) sending->deferred = 1;
  session->draining = loud && drains;
  sending->ahead = session->waiting;
  sending->reported_before = session->reported;
  session->waiting++;
  if (loud) session->reported = session->waiting;
  if (sending->command == LT_PG_SYNC)
    session->since_sync = 0;
  else if (loud)
    session->since_sync = 1;
  return loud;
}

static __always_inline void fill_command(struct lt_event_pg* event,
                                         const struct lt_pg_sending* sending) {
  event->stack_id = sending->stack_id;
  event->command = sending->command;
  event->ahead = sending->ahead;
  if (event->flags & LT_PG_UNOBSERVED) {
    const struct lt_pg_layout* layout = layout_at(sending->layout);
    if (layout)
      event->transaction =
          pg_int(sending->connection, layout->transaction, LT_PG_TRANSACTION_UNKNOWN);
  }
  if (!sending->name) return;
  if (bpf_probe_read_user_str(event->name, sizeof(event->name), (void*)sending->name) < 0)
    event->name[0] = 0;
}

/* Reads the SQL into an event with room for `room` bytes, and says when it is longer. */
static __always_inline void fill_sql(struct lt_event_pg* event, __u64 sql, __u32 room) {
  long bytes = bpf_probe_read_user_str(event->text, room, (void*)sql);
  if (bytes < 0) {
    event->text[0] = 0;
    event->flags |= LT_PG_CUT;
    lose(LT_LOSS_READ_FAULT);
  } else if (bytes == room) {
    char next = 0; /* is the text just so long? Then its end is where it was cut */
    bpf_probe_read_user(&next, sizeof(next), (void*)sql + room - 1);
    if (next) event->flags |= LT_PG_CUT;
  }
}

/* Reports the command in thread->pg_sending, after begin_command(), unless that has to wait. */
__weak __noinline int send_command(struct lt_thread* thread) {
  if (!thread) return 0;
  const struct lt_pg_sending* sending = &thread->pg_sending;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session(image, sending->connection);
  if (!session || sending->deferred) return 0;
  struct lt_event_pg* event;
  if (sending->sql_bytes <= LT_PG_SHORT_BYTES) {
    event =
        new_pg_event(image, sending->connection, session, LT_PG_EVENT_COMMAND, LT_PG_SHORT_BYTES);
    if (!event) return 0;
    if (sending->sql_bytes) fill_sql(event, sending->sql, LT_PG_SHORT_BYTES);
  } else if (sending->sql_bytes < LT_PG_HEAD_BYTES) {
    event =
        new_pg_event(image, sending->connection, session, LT_PG_EVENT_COMMAND, LT_PG_HEAD_BYTES);
    if (!event) return 0;
    fill_sql(event, sending->sql, LT_PG_HEAD_BYTES);
  } else {
    event = new_pg_event(image, sending->connection, session, LT_PG_EVENT_COMMAND, pg_text_bytes);
    if (!event) return 0;
    fill_sql(event, sending->sql, pg_text_bytes);
  }
  fill_command(event, sending);
  bpf_ringbuf_submit(event, without_haste());
  return 0;
}

/* Reports a command that could not be read when it was begun: libpq has read it since. */
__weak __noinline int send_deferred_command(struct lt_thread* thread) {
  if (!thread) return 0;
  struct lt_pg_sending* sending = &thread->pg_sending;
  if (!sending->deferred) return 0;
  struct lt_pg_session* session = pg_session(thread->image, sending->connection);
  if (!session) return 0;
  sending->deferred = 0;
  if (sending->command != LT_PG_EXECUTE) read_sql_head(sending, session);
  if (sending->deferred) lose(LT_LOSS_READ_FAULT); /* nor can it be now */
  sending->deferred = 0;
  send_command(thread);
  return 0;
}

/* The command in thread->pg_sending, the newest of its connection, could not be sent. */
__weak __noinline int withdraw_command(struct lt_thread* thread) {
  if (!thread) return 0;
  struct lt_pg_sending* sending = &thread->pg_sending;
  struct lt_pg_session* session = pg_session(thread->image, sending->connection);
  if (!session) return 0;
  int was_reported = session->reported > sending->reported_before && !sending->deferred;
  session->waiting = sending->ahead;
  session->reported = sending->reported_before;
  session->draining = sending->deferred = 0;
  if (was_reported) send_pg_note(thread, sending->connection, 0, LT_PG_EVENT_WITHDRAWN, 0);
  return 0;
}

/* ---- Results -------------------------------------------------------------------------------- */

/* Says what the server said last of the connection: its transaction, and that it is broken. */
static __always_inline void send_done(__u32 image, __u64 connection, struct lt_pg_session* session,
                                      const struct lt_pg_words* words) {
  int broken = words->status == LT_PG_CONNECTION_BAD;
  session->transaction = words->transaction;
  session->broken = broken;
  struct lt_event_pg* event =
      new_pg_event(image, connection, session, LT_PG_EVENT_DONE, LT_PG_SHORT_BYTES);
  if (!event) return; /* at once, or 6.1 takes it for lost */
  event->transaction = words->transaction;
  if (broken) event->flags |= LT_PG_BROKEN;
  if (words->pipeline) event->flags |= LT_PG_PIPELINE;
  bpf_ringbuf_submit(event, without_haste());
}

/* Is the connection in another state than user space was told? */
static __always_inline int is_news(const struct lt_pg_session* session,
                                   const struct lt_pg_words* words) {
  return words->transaction != session->transaction ||
         (words->status == LT_PG_CONNECTION_BAD && !session->broken);
}

/* The oldest command has brought all its results. */
static __always_inline void complete_command(__u32 image, __u64 connection,
                                             struct lt_pg_session* session,
                                             const struct lt_pg_words* words) {
  session->used_ns = bpf_ktime_get_ns();
  if (session->waiting) session->waiting--;
  if (session->reported)
    session->reported--;
  else if (!is_news(session, words))
    return;
  send_done(image, connection, session, words);
}

static __always_inline void send_result(__u32 image, __u64 connection,
                                        struct lt_pg_session* session,
                                        const struct lt_pg_layout* layout, __u64 result,
                                        __u32 status, __u32 flags) {
  struct lt_event_pg* event =
      new_pg_event(image, connection, session, LT_PG_EVENT_RESULT, LT_PG_SHORT_BYTES);
  if (!event) return;
  event->status = status > LT_PG_STATUS_UNKNOWN ? LT_PG_STATUS_UNKNOWN : status;
  event->flags |= flags;
  if (status == 10 /* PGRES_PIPELINE_SYNC */)
    event->transaction = pg_int(connection, layout->transaction, LT_PG_TRANSACTION_UNKNOWN);
  if (pg_int(connection, layout->pipeline, 0)) event->flags |= LT_PG_PIPELINE;
  if (layout->result_tag == LT_PG_NO_FIELD ||
      bpf_probe_read_user_str(event->text, LT_PG_SHORT_BYTES, (void*)result + layout->result_tag) <
          0)
    event->text[0] = 0;
  bpf_ringbuf_submit(event, without_haste());
}

/*
 * Reports a result of a command that was not reported, when its tag says that it should have been.
 * Not when a window begins: probes come one after the other, and the command was sent before its
 * own was there, in the time that nobody observes.
 */
static __always_inline void look_at_unannounced(__u32 image, __u64 connection,
                                                struct lt_pg_session* session,
                                                const struct lt_pg_layout* layout, __u64 result,
                                                __u32 status) {
  if (session->silent || (session->waiting && session->head[0] != LT_PG_NAME_MARK)) return;
  __u64 letters = 0;
  if (layout->result_tag == LT_PG_NO_FIELD ||
      bpf_probe_read_user(&letters, sizeof(letters), (void*)result + layout->result_tag))
    return;
  if (is_loud_tag(letters))
    send_result(image, connection, session, layout, result, status, LT_PG_UNANNOUNCED);
}

#define LT_PGRES_COPY_OUT 3
#define LT_PGRES_COPY_IN 4
#define LT_PGRES_COPY_BOTH 8
#define LT_PGRES_SINGLE_TUPLE 9
#define LT_PGRES_PIPELINE_SYNC 10
#define LT_PGRES_TUPLES_CHUNK 12

/* PQgetResult has returned a result, or null when the oldest command has no more. */
__weak __noinline int got_result(struct lt_thread* thread, __u64 connection, __u64 result,
                                 __u32 layout_index) {
  if (!thread) return 0;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session(image, connection);
  const struct lt_pg_layout* layout = layout_at(layout_index);
  if (!session || !layout) return 0;
  struct lt_pg_words words;
  if (session->draining && !result) {
    /* Now the command itself is sent. */
    session->draining = 0;
    if (session->waiting <= 1) return 0;
    read_words(thread, connection, layout, &words);
    complete_command(image, connection, session, &words);
    return 0;
  }
  if (!session->draining && session->reported) send_deferred_command(thread);
  if (!result) {
    read_words(thread, connection, layout, &words);
    complete_command(image, connection, session, &words);
    return 0;
  }
  __u32 status = pg_int(result, layout->result_status, LT_PG_STATUS_UNKNOWN);
  if (status == LT_PGRES_SINGLE_TUPLE || status == LT_PGRES_TUPLES_CHUNK) return 0;
  if (session->reported)
    send_result(image, connection, session, layout, result, status, 0);
  else
    look_at_unannounced(image, connection, session, layout, result, status);
  if (status == LT_PGRES_PIPELINE_SYNC) { /* no null follows it */
    session->used_ns = bpf_ktime_get_ns();
    if (session->waiting) session->waiting--;
    if (session->reported) session->reported--;
  }
  return 0;
}

/* PQgetResult is entered. When no command of the connection is under way it will return null: what
 * that means is done now, and 1 returned. */
__weak __noinline int complete_if_idle(struct lt_thread* thread, __u64 connection,
                                       __u32 layout_index) {
  if (!thread) return 0;
  const struct lt_pg_layout* layout = layout_at(layout_index);
  struct lt_pg_session* session = pg_session(thread->image, connection);
  if (!layout || !session) return 0;
  struct lt_pg_words words;
  read_words(thread, connection, layout, &words);
  if (words.async != LT_PG_ASYNC_IDLE) return 0;
  if (session->draining || session->reported)
    got_result(thread, connection, 0, layout_index);
  else
    complete_command(thread->image, connection, session, &words);
  return 1;
}

/* A function that sends a command and takes its results has returned the last one, or null. `loud`:
 * the command was reported, and its results have been, too. */
__weak __noinline int ran_command(struct lt_thread* thread, __u64 connection, __u64 result,
                                  __u32 layout_index, __u32 loud) {
  if (!thread) return 0;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session(image, connection);
  const struct lt_pg_layout* layout = layout_at(layout_index);
  if (!session || !layout) return 0;
  /* Refused: in a pipeline, or before it began. */
  if (pg_int(connection, layout->pipeline, 0) || (loud && session->draining)) {
    withdraw_command(thread);
    return 0;
  }
  __u32 status =
      result ? pg_int(result, layout->result_status, LT_PG_STATUS_UNKNOWN) : LT_PG_STATUS_UNKNOWN;
  /* A COPY goes on: PQgetResult will tell of its end. */
  if (status == LT_PGRES_COPY_IN || status == LT_PGRES_COPY_OUT || status == LT_PGRES_COPY_BOTH)
    return 0;
  if (loud && !session->reported) return 0; /* its end was seen */
  if (loud) {                               /* it was not sent */
    withdraw_command(thread);
    return 0;
  }
  if (result) look_at_unannounced(image, connection, session, layout, result, status);
  struct lt_pg_words words;
  read_words(thread, connection, layout, &words);
  session->waiting = 1;
  complete_command(image, connection, session, &words);
  return 0;
}

/* Something was opened by another call than a command. Rows that are brought one by one end with
 * their command, so that is reported from now on. */
static __always_inline void note_opened(struct lt_thread* thread, __u64 connection, __u64 stack_id,
                                        __u8 role, __s32 value) {
  if (role == LT_PG_ROW_MODE) {
    struct lt_pg_session* session = pg_session_or_new(thread->image, connection);
    if (session) session->reported = session->waiting;
  }
  send_pg_note(thread, connection, stack_id,
               role == LT_PG_ROW_MODE         ? LT_PG_EVENT_ROW_MODE
               : role == LT_PG_PIPELINE_ENTER ? LT_PG_EVENT_PIPELINE_ENTERED
                                              : LT_PG_EVENT_LO_OPENED,
               value);
}

/* Results are acquired at a new call site: what brought them, for an example. */
__weak __noinline int send_example(struct lt_thread* thread, __u64 connection, __u64 stack_id) {
  if (!thread) return 0;
  __u32 image = thread->image;
  struct lt_pg_session* session = pg_session(image, connection);
  if (!session) return 0;
  struct lt_event_pg* event =
      new_pg_event(image, connection, session, LT_PG_EVENT_EXAMPLE, LT_PG_HEAD_BYTES);
  if (!event) return 0;
  event->stack_id = stack_id;
  if (session->head[0] == LT_PG_NAME_MARK)
    bpf_probe_read_kernel_str(event->name, sizeof(event->name), session->head + 1);
  else if (bpf_probe_read_kernel_str(event->text, LT_PG_HEAD_BYTES, session->head) ==
           LT_PG_HEAD_BYTES)
    event->flags |= LT_PG_CUT;
  bpf_ringbuf_submit(event, without_haste());
  return 0;
}

#endif
