/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The functions of libpq that send commands and bring results, entered and returned from: what of
 * them goes to bpf/lib/postgres.bpf.h. What they acquire and release is the engine's.
 */
#ifndef LEAKTRACE_CLIENTS_BPF_H
#define LEAKTRACE_CLIENTS_BPF_H

#include "bpf/lib/calls.bpf.h"
#include "bpf/lib/postgres.bpf.h"
#include "bpf/lib/stacks.bpf.h"

static __always_inline int is_closing(const struct lt_row* row) {
  return is_closing_kind(LT_KIND_IS_LASTING(row->kind) || row->pg_role == LT_PG_RESET);
}

/* A command is sent: is it reported? */
static __always_inline int enter_command(struct pt_regs* ctx, const struct lt_probe* probe,
                                         const struct lt_arguments* arguments, int drains) {
  struct lt_thread* thread = probe->thread;
  struct lt_pg_sending* sending = &thread->pg_sending;
  sending->connection = argument(arguments, 0);
  sending->sql = value_at_entry(arguments, &probe->row->pg_sql);
  sending->name = value_at_entry(arguments, &probe->row->pg_name);
  sending->layout = LT_COOKIE_LAYOUT(probe->cookie);
  sending->command = probe->row->pg_command;
  sending->sql_bytes = 0;
  if (!sending->connection || !begin_command(thread, drains)) return 0;
  sending->stack_id = capture_stack_of_caller(ctx, thread);
  send_command(thread);
  return 1;
}

/* Results of a command that was reported are noted also where PQgetResult is called by another
 * function of libpq, as PQexec, which gives only the last of them to the program. */
#define LT_PG_NO_RESULT 2 /* what there is to know is known, without its return */
static __always_inline int begin_get_result(struct pt_regs* ctx, const struct lt_probe* probe) {
  __u64 connection = PT_REGS_PARM1(ctx);
  const struct lt_pg_session* session = pg_session(probe->thread->image, connection);
  if (!session) return 0;
  /* Of the outermost, the end is wanted in any case. */
  if (!session->reported && probe->call->active) return 0;
  if (complete_if_idle(probe->thread, connection, LT_COOKIE_LAYOUT(probe->cookie)))
    return LT_PG_NO_RESULT;
  struct lt_call* note = call_of(probe->thread, LT_KIND_PG_STATEMENT);
  note_frame(ctx, probe->thread, note, probe->cookie);
  note->pointer = connection;
  note->row = LT_COOKIE_ROW(probe->cookie);
  note->has_old = note->taken = note->lasting = 0;
  note->window = sampling.window_from;
  note->active = 1;
  return 1;
}

static __always_inline void end_get_result(struct pt_regs* ctx, const struct lt_probe* probe) {
  struct lt_call* note = call_of(probe->thread, LT_KIND_PG_STATEMENT);
  if (!ends_call(ctx, note, LT_KIND_PG_STATEMENT, probe->cookie)) return;
  note->active = 0;
  got_result(probe->thread, note->pointer, returned(ctx), LT_COOKIE_LAYOUT(probe->cookie));
}

static __always_inline int enter_note(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (is_closing(probe->row)) return 0;
  /* What PQexec and the like do to send their command. */
  if (is_nested(ctx, probe->thread, LT_KIND_PG_RESULT, LT_COOKIE_ROW(probe->cookie))) return 0;
  if (!is_outermost(ctx, probe)) return 0;
  struct lt_arguments* arguments = &probe->thread->arguments;
  read_arguments(ctx, arguments);
  __u8 role = probe->row->pg_role;
  if (role == LT_PG_RESET) {
    reset_connection(probe->thread, argument(arguments, 0));
    return 0;
  }
  if (role == LT_PG_COMMAND && !enter_command(ctx, probe, arguments, 0)) return 0;
  begin_call(ctx, probe, arguments);
  return 1;
}

/* The return of a call that is told when it has succeeded; of a command, when it has not. */
static __always_inline void exit_note(struct pt_regs* ctx, const struct lt_probe* probe) {
  const struct lt_call* call = probe->call;
  __s32 result = returned(ctx);
  __u64 stack_id = 0;
  switch (probe->row->pg_role) {
    case LT_PG_COMMAND:
      if (result)
        send_deferred_command(probe->thread);
      else
        withdraw_command(probe->thread);
      return;
    case LT_PG_PIPELINE_ENTER:
    case LT_PG_ROW_MODE:
      if (!result) return;
      break;
    case LT_PG_LO_OPEN:
      if (result < 0) return;
      break;
    case LT_PG_PIPELINE_LEAVE:
      if (result) send_pg_note(probe->thread, call->pointer, 0, LT_PG_EVENT_PIPELINE_LEFT, 0);
      return;
    case LT_PG_LO_CLOSE:
      if (!result)
        send_pg_note(probe->thread, call->pointer, 0, LT_PG_EVENT_LO_CLOSED, call->old_weight);
      return;
  }
  stack_id = capture_stack_of_call(ctx, probe->thread, call);
  note_opened(probe->thread, call->pointer, stack_id, probe->row->pg_role,
              probe->row->pg_role == LT_PG_LO_OPEN ? result : probe->row->pg_command);
}

#endif
