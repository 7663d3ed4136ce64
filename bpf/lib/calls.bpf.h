/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The calls that a thread is in: which of nested ones counts, what is remembered of it until it
 * returns, and which are of interest at all.
 */
#ifndef LEAKTRACE_CALLS_BPF_H
#define LEAKTRACE_CALLS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/rows.bpf.h"
#include "bpf/lib/sampling.bpf.h"
#include "bpf/lib/sites.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "bpf/lib/unwind_return.bpf.h"

/* Written by user space: enum lt_closing. */
extern volatile __u32 closing;

/* Blocks outside these sizes are not traced. */
extern const volatile __u64 min_size;
extern const volatile __u64 max_size;

#if defined(__TARGET_ARCH_x86)
/* `ret` has popped the return address when a return probe runs. */
#define LT_RETURN_POPS 8
#else
#define LT_RETURN_POPS 0
#endif

static __always_inline int wanted_size(__u64 weight) {
  return weight >= min_size && weight <= max_size;
}

/* What the function returned; read once, because clang would else fold several reads into one with
 * a computed offset, which the verifier does not allow on a context. */
static __always_inline __u64 returned(struct pt_regs* ctx) {
  __u64 result = PT_REGS_RC(ctx);
  lt_opaque(result);
  return result;
}

/* ---- Which call is the outermost ------------------------------------------------------------ */

/* Stores what a call had taken out again; without room for it, it counts as released. */
static __always_inline void put_back(struct lt_call* call) {
  struct lt_resource_key key = {
      .handle = call->old_handle, .image = call->old.image, .kind = call->old.kind};
  if (store_resource(&key, &call->old)) count_released(&call->old, 0);
}

/* Are the probes on functions of this kind being taken away? Not all go at once. */
static __always_inline int is_closing_kind(int is_lasting) {
  return closing > (is_lasting ? LT_CLOSING_WINDOW : LT_CLOSING_NONE);
}

/*
 * A call left by longjmp or an exception never returns. What it had taken is still there. An
 * allocation function that did not pass one of its own return instructions has given nothing to
 * anybody, and nothing is lost. Neither is it when probes are taken away: the call may have
 * returned where the probe had gone first.
 */
static __always_inline void abandon(struct lt_call* call, __u32 kind) {
  int gives_handle = !call->own_returns || LT_KIND_IS_PG(kind);
  if (gives_handle && !is_closing_kind(LT_KIND_IS_LASTING(kind))) lose(LT_LOSS_ABANDONED_CALL);
  if (call->has_old) put_back(call);
  call->active = 0;
}

/* A call that was interrupted by a time without probes: whether it has returned is not known, and
 * most calls that replace succeed. */
static __always_inline int is_of_past_window(struct lt_call* call) {
  if (call->window == sampling.window_from || call->lasting) return 0;
  if (call->has_old) count_released(&call->old, 0);
  call->active = 0;
  return 1;
}

/* The return address of a function that has pushed some bytes since it was entered. */
static __always_inline __u64 return_address(struct pt_regs* ctx, __u32 pushed) {
#if defined(__TARGET_ARCH_x86)
  __u64 address = 0;
  bpf_probe_read_user(&address, sizeof(address), (void*)PT_REGS_SP(ctx) + pushed);
  return address;
#else
  return PT_REGS_RET(ctx);
#endif
}

/* Is the return address of a call without a trampoline still where it was? A call that was left
 * unseen leaves its place on the stack to others. */
static __always_inline int has_its_frame(struct lt_thread* thread, const struct lt_call* call) {
  return lt_unwind_return_address(&thread->scratch, call->sp) == call->return_address;
}

/*
 * Is the function of row `row` that is now entered part of `call`? Deeper in the stack: yes.
 * Shallower: the call was left unseen. At the same depth: either a tail call (reallocarray jumps to
 * realloc), or a new call after one that was left unseen. A tail call finds the trampoline of the
 * outer function's return probe as its return address; without a trampoline it finds the outer
 * function's own, and is of another function.
 */
static __always_inline int is_nested(struct pt_regs* ctx, struct lt_thread* thread, __u32 kind,
                                     __u32 row) {
  struct lt_call* call = call_of(thread, kind);
  if (!call->active || is_of_past_window(call)) return 0;
  __u64 sp = PT_REGS_SP(ctx);
  if (call->own_returns) {
    if (sp <= call->sp && has_its_frame(thread, call) && (sp < call->sp || call->row != row))
      return 1;
  } else if (sp < call->sp) {
    return 1;
  } else if (sp == call->sp) {
    __u64 address = return_address(ctx, 0);
    if (address && address == lt_unwind_trampoline()) return 1;
  }
  abandon(call, kind);
  return 0;
}

/*
 * The call that this return ends, if it is the outermost one. A probe on the return instruction
 * itself (`cookie`) runs before it has popped the return address. It does not end a call that has a
 * trampoline: that comes right after (glibc's reallocarray jumps to another library's realloc).
 */
static __always_inline int ends_call(struct pt_regs* ctx, struct lt_call* call, __u32 kind,
                                     __u64 cookie) {
  if (!call->active || is_of_past_window(call)) return 0;
  int at_return = (cookie & LT_COOKIE_AT_RETURN) != 0;
  __u64 sp = PT_REGS_SP(ctx);
  __u64 end = call->sp + (at_return ? 0 : LT_RETURN_POPS);
  if (at_return != call->own_returns && sp <= end) return 0;
  if (sp == end) return 1;
  if (sp > end) abandon(call, kind);
  return 0;
}

/* Is the thread in this call, as far as can be told without being in it? */
static __always_inline int is_under_way(struct pt_regs* ctx, struct lt_thread* thread,
                                        const struct lt_call* call) {
  if (!call->active) return 0;
  return !call->own_returns || (PT_REGS_SP(ctx) <= call->sp && has_its_frame(thread, call));
}

/* What a program on a hooked function works on. */
struct lt_probe {
  struct lt_thread* thread;
  const struct lt_row* row;
  struct lt_call* call;
  struct lt_hits* hits;
  __u64 cookie;
  __u64 began_ns; /* 0: this run is not timed */
};

/* Notes where the call is on the stack, and how its end will be seen. */
static __always_inline void note_frame(struct pt_regs* ctx, struct lt_thread* thread,
                                       struct lt_call* call, __u64 cookie) {
  call->sp = PT_REGS_SP(ctx);
  call->own_returns = (cookie & LT_COOKIE_OWN_RETURNS) != 0;
  if (call->own_returns)
    call->return_address = lt_unwind_return_address(&thread->scratch, call->sp);
}

static __always_inline void begin_call(struct pt_regs* ctx, const struct lt_probe* probe,
                                       const struct lt_arguments* arguments) {
  struct lt_call* call = probe->call;
  const struct lt_row* row = probe->row;
  note_frame(ctx, probe->thread, call, probe->cookie);
  call->lasting = LT_KIND_IS_LASTING(row->kind);
  call->pointer = 0;
  if (row->handle.source == LT_FROM_POINTEE)
    call->pointer = argument(arguments, row->handle.argument);
  else if (row->pg_role)
    call->pointer = argument(arguments, 0);
  call->old_handle = value_at_entry(arguments, &row->old_handle);
  call->old_weight = value_at_entry(arguments, &row->old_weight);
  call->flags = value_at_entry(arguments, &row->flags);
  call->window = sampling.window_from;
  call->row = LT_COOKIE_ROW(probe->cookie);
  call->has_old = 0;
  call->taken = 0;
  call->nested = row->kind == LT_KIND_MMAP &&
                 is_under_way(ctx, probe->thread, call_of(probe->thread, LT_KIND_HEAP));
  call->active = 1;
  probe->thread->last_released = 0;
}

/* ---- Which calls are of interest ------------------------------------------------------------ */

/*
 * The return of a call that is not sampled is of no interest, except that its return says when
 * calls are no longer part of it. So it is given up only for functions in whose watched calls (the
 * first ones, and all that are sampled) no hooked function was called.
 */
struct lt_row_habits {
  __u32 watched;
  __u32 nests;
};
#define LT_WATCHED_FIRST 64

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LT_MAX_ROWS);
  __type(key, __u32);
  __type(value, struct lt_row_habits);
} row_habits SEC(".maps");

static __always_inline void note_nested(const struct lt_call* outer) {
  if (!sampling.base) return;
  __u32 row = outer->row;
  struct lt_row_habits* habits = bpf_map_lookup_elem(&row_habits, &row);
  if (habits && !habits->nests) habits->nests = 1;
}

static __always_inline int must_be_watched(const struct lt_probe* probe) {
  if (probe->cookie & LT_COOKIE_OWN_RETURNS) return 1; /* they are hit in any case */
  __u32 row = LT_COOKIE_ROW(probe->cookie);
  struct lt_row_habits* habits = bpf_map_lookup_elem(&row_habits, &row);
  if (!habits || habits->nests) return 1;
  if (habits->watched >= LT_WATCHED_FIRST) return 0;
  habits->watched++;
  return 1;
}

/* Is what the call acquires to be stored? Notes it in the call. */
static __always_inline int choose(const struct lt_probe* probe, __u64 weight) {
  struct lt_call* call = probe->call;
  call->weight = weight;
  call->step = LT_SAMPLED_FOR_CERTAIN;
  call->chosen = probe->row->extent == LT_EXTENT_RANGE || LT_KIND_IS_PG(probe->row->kind) ||
                 wanted_size(weight);
  if (!call->chosen || !sampling.base || probe->row->kind != LT_KIND_HEAP) return call->chosen;
  __u32 step = sampling.step;
  lt_opaque(step);
  call->step = step & 15;
  call->chosen = is_sampled(probe->thread, weight, step & 15);
  if (call->chosen) __sync_fetch_and_add(&probe->hits->samples, 1);
  return call->chosen;
}

/* On entry: true when this is the outermost call of its kind. */
static __always_inline int is_outermost(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!is_nested(ctx, probe->thread, probe->row->kind, LT_COOKIE_ROW(probe->cookie))) return 1;
  note_nested(probe->call);
  return 0;
}

#endif
