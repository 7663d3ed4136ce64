/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The engine: programs that know no function by name. What a hooked function does is its catalog
 * row, found by the attach cookie.
 *
 *            entry                                return (call_returned)
 *   acquire  enter_acquire: remember the size     exit_acquire: success? walk, store, count
 *   replace  enter_replace: take the old one out  exit_acquire: and close the old one
 *   release  enter_release: take out, count       exit_release: ranges whose release failed
 *   note     enter_note: tell user space          exit_note: the same, once it has succeeded
 *
 * Returns are seen in one of two ways. Of functions that nothing but their `ret` leaves (glibc's
 * malloc), by the kernel's trampoline: where the kernel has sessions, one program serves entry and
 * return and tells the kernel on entry when it wants no return, as of calls that sampling leaves
 * out; elsewhere they are programs of their own. Of all others, by probes on their own return
 * instructions (user/tracer/function_exits.h). Of nested calls of one kind on a thread only the
 * outermost counts. A return belongs to it when the stack pointer says so, which needs no count of
 * depths that longjmp or an exception could upset. All that walks stacks is in one program, because
 * the verifier looks at the walk once for each program that has it, and attaching waits for that.
 */
#include "bpf/lib/calls.bpf.h"
#include "bpf/lib/clients.bpf.h"
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/postgres.bpf.h"
#include "bpf/lib/processes.bpf.h"
#include "bpf/lib/rows.bpf.h"
#include "bpf/lib/sampling.bpf.h"
#include "bpf/lib/sites.bpf.h"
#include "bpf/lib/stacks.bpf.h"
#include "bpf/lib/threads.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 min_size = 0;
const volatile __u64 max_size = ~0ULL;

const volatile __u32 stack_depth = LT_MAX_FRAMES;

const volatile __u32 own_pid_level = 0; /* bpf/lib/pids.bpf.h */
const volatile __u32 own_pid_namespace = 0;

const volatile __u64 max_threads = 65536;
__u64 known_threads;
volatile __u32 state_epoch = 1;

#define LT_MAP_FIXED 0x10
#define LT_MAP_FIXED_NOREPLACE 0x100000
#define LT_MREMAP_FIXED 2
#define LT_MREMAP_DONTUNMAP 4

#define LT_SMALLEST_PAGE 4096

volatile __u32 closing; /* bpf/lib/calls.bpf.h */

const volatile __u64 hold_wait_ns = 0; /* bpf/lib/hold.bpf.h */
volatile __u32 hold_unanswered;

/* The code of an allocator, as glibc's malloc.o, is no larger. */
#define LT_ALLOCATOR_REACH 0x8000

/* ---- Acquiring ------------------------------------------------------------------------------ */

/* Buffers that libpq gave away are outstanding: free() may end them, too. */
__u64 pg_buffers;

/* How much a result takes, or a buffer whose length was returned. False: it is nobody's. */
static __always_inline int weigh_returned(const struct lt_probe* probe, __u64 result) {
  __u8 source = probe->row->weight.source;
  if (source == LT_FROM_RETURN) probe->call->weight = (__u32)result;
  if (source != LT_FROM_PG_RESULT) return 1;
  __s64 bytes = result_memory(result, LT_COOKIE_LAYOUT(probe->cookie));
  probe->call->weight = bytes > 0 ? bytes : 0;
  return bytes != 0;
}

/* Returns the stack id when there is more to say of the site: of connections, and where it is a new
 * one of results. Else LT_STACK_ID_NONE. */
static __always_inline __u64 acquire_point(struct pt_regs* ctx, struct lt_thread* thread,
                                           __u32 kind, const struct lt_call* call, __u64 handle) {
  if (handle <= LT_HANDLE_BUSY) return LT_STACK_ID_NONE;
  struct lt_site_key* site_key = &thread->site;
  *site_key = (struct lt_site_key){
      .stack_id = capture_stack_of_call(ctx, thread, call), .image = thread->image, .kind = kind};
  struct lt_site_counters* site = bpf_map_lookup_elem(&call_sites, site_key);
  int is_new = !site && kind == LT_KIND_PG_RESULT;
  if (!site) site = site_or_new(site_key);
  if (!site) return LT_STACK_ID_NONE;

  thread->key = (struct lt_resource_key){.handle = handle, .image = thread->image, .kind = kind};
  struct lt_resource* resource = &thread->resource;
  *resource = (struct lt_resource){
      .stack_id = site_key->stack_id,
      .weight = call->weight < LT_LARGEST_WEIGHT ? call->weight : LT_LARGEST_WEIGHT,
      .kind = kind,
      .step = call->step,
      .acquired_ns = bpf_ktime_get_ns(),
      .image = thread->image};
  if (store_resource(&thread->key, resource)) return LT_STACK_ID_NONE;
  count_acquired(site, resource, &thread->weight);
  if (kind == LT_KIND_PG_BUFFER) __sync_fetch_and_add(&pg_buffers, 1);
  return is_new || kind == LT_KIND_PG_CONNECTION ? site_key->stack_id : LT_STACK_ID_NONE;
}

static __always_inline void acquire_range(struct pt_regs* ctx, struct lt_thread* thread,
                                          const struct lt_row* row, const struct lt_call* call,
                                          __u64 handle) {
  __u32 flags = 0;
  if (call->nested || !wanted_size(call->weight)) flags |= LT_RANGE_NESTED;
  if (row->operation == LT_OP_REPLACE ? call->flags & LT_MREMAP_FIXED : call->flags & LT_MAP_FIXED)
    flags |= LT_RANGE_FIXED;
  __u64 stack_id = flags & LT_RANGE_NESTED ? 0 : capture_stack_of_call(ctx, thread, call);
  send_range(LT_EVENT_RANGE_ACQUIRED, thread->image, handle, call->weight, stack_id, flags);
}

/* Stores what a successful call returned. */
static __always_inline void acquire_result(struct pt_regs* ctx, const struct lt_probe* probe,
                                           __u64 result) {
  __u64 handle = result;
  if (probe->row->handle.source == LT_FROM_POINTEE &&
      bpf_probe_read_user(&handle, sizeof(handle), (void*)probe->call->pointer)) {
    lose(LT_LOSS_READ_FAULT);
    return;
  }
  if (probe->row->extent == LT_EXTENT_RANGE)
    acquire_range(ctx, probe->thread, probe->row, probe->call, handle);
  else if (weigh_returned(probe, result)) {
    __u64 stack = acquire_point(ctx, probe->thread, probe->row->kind, probe->call, handle);
    if (probe->row->pg_role == LT_PG_CONNECT)
      describe_connection(probe->thread, handle, LT_COOKIE_LAYOUT(probe->cookie), 1, stack);
    else if (stack != LT_STACK_ID_NONE)
      send_example(probe->thread, probe->call->pointer, stack);
  }
}

/* ---- Releasing ------------------------------------------------------------------------------ */

/* A forked process releases what its parent acquired, with a filter on sizes what was not traced is
 * released too, and so is what was not sampled: of those nothing can be said. */
static __always_inline void count_unmatched(const struct lt_thread* thread, __u32 kind) {
  if (thread->flags & LT_PROCESS_FORKED || min_size != 0 || max_size != ~0ULL) return;
  if (sampling.base && kind == LT_KIND_HEAP) return;
  lose(LT_LOSS_UNMATCHED_RELEASE);
}

/*
 * Does the allocator release for itself? When a thread ends, glibc empties its cache of free blocks
 * through free() (malloc/malloc.c, tcache_thread_shutdown): the program released those long ago.
 */
static __always_inline int called_by_allocator(struct pt_regs* ctx, __u32 pushed) {
  __u64 distance = return_address(ctx, pushed) - PT_REGS_IP(ctx) + LT_ALLOCATOR_REACH;
  return distance < 2 * LT_ALLOCATOR_REACH;
}

/* free() of what libpq gave away: on Unix that is as good as PQfreemem. */
static __always_inline void release_buffer(struct lt_thread* thread, __u64 handle) {
  thread->key =
      (struct lt_resource_key){.handle = handle, .image = thread->image, .kind = LT_KIND_PG_BUFFER};
  if (!take_resource(&thread->key, 1, &thread->resource)) return;
  count_released(&thread->resource, 1);
  __sync_fetch_and_add(&pg_buffers, -1);
}

static __always_inline void release_point(struct pt_regs* ctx, const struct lt_probe* probe,
                                          __u64 handle) {
  struct lt_thread* thread = probe->thread;
  __u32 kind = probe->row->kind;
  thread->key = (struct lt_resource_key){.handle = handle, .image = thread->image, .kind = kind};
  if (take_resource(&thread->key, sampling.base != 0, &thread->resource)) {
    count_released(&thread->resource, 1);
    thread->last_released = handle;
    if (kind == LT_KIND_PG_BUFFER) __sync_fetch_and_add(&pg_buffers, -1);
    if (kind != LT_KIND_HEAP || !pg_buffers) return;
  }
  if (kind == LT_KIND_HEAP && pg_buffers) release_buffer(thread, handle);
  if (thread->last_released == handle || kind == LT_KIND_PG_BUFFER) return;
  if (kind == LT_KIND_PG_RESULT &&
      called_by_libpq(probe->cookie, PT_REGS_IP(ctx),
                      return_address(ctx, LT_COOKIE_PUSHED(probe->cookie))))
    return; /* one that was never given to the program */
  if (sampling.base && kind == LT_KIND_HEAP) return;
  /* Within a call of the same kind it may be the very block that the call has taken out (a realloc
   * that frees), or one that the call made and did not count. */
  if (call_of(thread, kind)->active) return;
  if (called_by_allocator(ctx, LT_COOKIE_PUSHED(probe->cookie))) return;
  count_unmatched(thread, kind);
}

/* ---- The steps of the programs -------------------------------------------------------------- */

/*
 * One run of so many is timed: reading the clock costs. A prime, so that of calls that alternate
 * (malloc's entry, its return, free) each is timed in its turn. A run that took longer than any
 * program does was preempted: the time is another task's.
 */
#define LT_TIMED_RUNS 61
#define LT_LONGEST_RUN 200000 /* ns */

static __always_inline int look_up(struct pt_regs* ctx, struct lt_probe* probe, int is_entry) {
  probe->thread = traced_thread(is_entry); /* a return ends nothing that did not begin */
  if (!probe->thread) return 0;
  probe->cookie = bpf_get_attach_cookie(ctx);
  probe->row = row_at(LT_COOKIE_ROW(probe->cookie));
  __u32 slot = LT_HIT_SLOT(probe->thread->image);
  probe->hits = bpf_map_lookup_elem(&probe_hits, &slot);
  if (!probe->row || !probe->hits) return 0;
  probe->call = call_of(probe->thread, probe->row->kind);
  probe->began_ns = probe->thread->hits++ % LT_TIMED_RUNS ? 0 : bpf_ktime_get_ns();
  return 1;
}

static __always_inline void count_instruction(const struct lt_probe* probe) {
  __sync_fetch_and_add(
      probe->cookie & LT_COOKIE_STEPPED ? &probe->hits->stepped : &probe->hits->entries, 1);
}

static __always_inline int look_up_entry(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!look_up(ctx, probe, 1)) return 0;
  count_instruction(probe);
  return 1;
}

static __always_inline int look_up_return(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!look_up(ctx, probe, 0)) return 0;
  if (probe->cookie & LT_COOKIE_AT_RETURN)
    count_instruction(probe);
  else
    __sync_fetch_and_add(&probe->hits->returns, 1);
  return 1;
}

static __always_inline void end_timing(const struct lt_probe* probe) {
  if (!probe->began_ns) return;
  __u64 took_ns = bpf_ktime_get_ns() - probe->began_ns;
  if (took_ns > LT_LONGEST_RUN) return;
  __sync_fetch_and_add(&probe->hits->timed, 1);
  __sync_fetch_and_add(&probe->hits->timed_ns, took_ns);
}

/* On return: true when the outermost call ends here; the row is that call's then. */
static __always_inline int ends(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!ends_call(ctx, probe->call, probe->row->kind, probe->cookie)) return 0;
  probe->call->active = 0;
  probe->row = row_at(probe->call->row);
  return probe->row != NULL;
}

static __always_inline void send_taken(const struct lt_probe* probe) {
  probe->call->taken = 1;
  send_range(LT_EVENT_RANGE_TAKEN, probe->thread->image, probe->call->old_handle,
             probe->call->old_weight, 0, 0);
}

static __always_inline void send_restored(const struct lt_probe* probe) {
  if (!probe->call->taken) return;
  send_range(LT_EVENT_RANGE_RESTORED, probe->thread->image, probe->call->old_handle,
             probe->call->old_weight, 0, 0);
}

/* A range that the kernel would look at: else the call fails (EINVAL: munmap(2), mremap(2)), and
 * nothing must be taken by it, not for a moment. */
static __always_inline int is_valid_range(const struct lt_call* call) {
  return call->old_weight && !(call->old_handle & (LT_SMALLEST_PAGE - 1));
}

/* The steps on entry return whether the return is wanted. */

static __always_inline int enter_acquire(struct pt_regs* ctx, const struct lt_probe* probe) {
  struct lt_arguments* arguments = &probe->thread->arguments;
  if (is_closing(probe->row)) return 0;
  if (probe->row->pg_role == LT_PG_RESULT &&
      called_by_libpq(probe->cookie, PT_REGS_IP(ctx), return_address(ctx, 0)))
    return 0; /* it makes one for itself */
  if (probe->row->pg_role == LT_PG_GET_RESULT) {
    int begun = begin_get_result(ctx, probe);
    if (begun == LT_PG_NO_RESULT) return 0;
    if (begun && is_nested(ctx, probe->thread, probe->row->kind, LT_COOKIE_ROW(probe->cookie)))
      return 1;
  }
  if (!is_outermost(ctx, probe)) return 0;
  read_arguments(ctx, arguments);
  if (probe->row->pg_role == LT_PG_RUN) {
    int loud = enter_command(ctx, probe, arguments, 1);
    choose(probe, 0);
    begin_call(ctx, probe, arguments);
    probe->call->flags = loud;
    return 1;
  }
  if (!choose(probe, value_at_entry(arguments, &probe->row->weight)) && !must_be_watched(probe))
    return 0;
  begin_call(ctx, probe, arguments);
  return 1;
}

static __always_inline int enter_replace(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!is_outermost(ctx, probe)) return 0;
  struct lt_call* call = probe->call;
  struct lt_arguments* arguments = &probe->thread->arguments;
  read_arguments(ctx, arguments);
  int chosen = choose(probe, value_at_entry(arguments, &probe->row->weight));
  begin_call(ctx, probe, arguments);
  /* The old one is taken out now, because its handle can be acquired by another thread before this
   * call returns. Its counters move only when the call has succeeded. */
  if (probe->row->extent == LT_EXTENT_POINT) {
    struct lt_resource_key* key = &probe->thread->key;
    *key = (struct lt_resource_key){
        .handle = call->old_handle, .image = probe->thread->image, .kind = probe->row->kind};
    if (call->old_handle) call->has_old = take_resource(key, sampling.base != 0, &call->old);
    call->active = chosen || call->has_old || must_be_watched(probe);
    return call->active;
  }
  /* mremap keeps the old mapping when it duplicates (old size 0) or is told to. */
  if (is_valid_range(call) && !(call->flags & LT_MREMAP_DONTUNMAP)) send_taken(probe);
  return 1;
}

static __always_inline int enter_release(struct pt_regs* ctx, const struct lt_probe* probe) {
  struct lt_arguments* arguments = &probe->thread->arguments;
  read_arguments(ctx, arguments);
  if (probe->row->extent == LT_EXTENT_RANGE) {
    if (!is_outermost(ctx, probe)) return 0;
    begin_call(ctx, probe, arguments);
    if (is_valid_range(probe->call)) send_taken(probe);
    return 1;
  }
  __u64 handle = value_at_entry(arguments, &probe->row->old_handle);
  if (handle) release_point(ctx, probe, handle);
  if (probe->row->pg_role == LT_PG_FINISH && handle) finish_connection(probe->thread, handle);
  return 0;
}

static __always_inline void close_replaced_point(const struct lt_probe* probe, int released) {
  struct lt_call* call = probe->call;
  if (released) {
    if (call->has_old)
      count_released(&call->old, 1);
    else if (call->old_handle)
      count_unmatched(probe->thread, probe->row->kind);
  } else if (call->has_old) {
    put_back(call);
  }
  call->has_old = 0;
}

static __always_inline void close_replaced(const struct lt_probe* probe, int success) {
  if (probe->row->extent == LT_EXTENT_POINT) {
    /* glibc's realloc(p, 0) frees p and returns NULL (manual, "Changing the Size of a Block"). */
    close_replaced_point(probe, success || (probe->call->old_handle && !probe->call->weight));
  } else if (!success) {
    send_restored(probe);
  }
}

/* The return of a call that acquires, or that replaces. */
static __always_inline void exit_acquire(struct pt_regs* ctx, struct lt_probe* probe) {
  __u64 result = returned(ctx);
  if (probe->row->pg_role == LT_PG_RUN)
    ran_command(probe->thread, probe->call->pointer, result, LT_COOKIE_LAYOUT(probe->cookie),
                probe->call->flags);
  int success = succeeded(probe->row->success, result);
  if (probe->row->operation == LT_OP_REPLACE) close_replaced(probe, success);
  if (success && probe->call->chosen) acquire_result(ctx, probe, result);
}

/* The same, of all that are no releases. */
static __always_inline void exit_acquiring(struct pt_regs* ctx, struct lt_probe* probe) {
  if (probe->row->pg_role == LT_PG_GET_RESULT) end_get_result(ctx, probe);
  if (!ends(ctx, probe)) return;
  if (probe->row->operation == LT_OP_NOTE)
    exit_note(ctx, probe);
  else
    exit_acquire(ctx, probe);
}

/* Only functions whose release can fail have this one. */
static __always_inline void exit_release(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!succeeded(probe->row->success, returned(ctx))) send_restored(probe);
}

/* The entry of any call: is its return wanted? */
static __always_inline int enter_any(struct pt_regs* ctx, const struct lt_probe* probe) {
  switch (probe->row->operation) {
    case LT_OP_ACQUIRE:
      return enter_acquire(ctx, probe);
    case LT_OP_REPLACE:
      return enter_replace(ctx, probe);
    case LT_OP_NOTE:
      return enter_note(ctx, probe);
    default:
      return enter_release(ctx, probe);
  }
}

/* The return of any call. */
static __always_inline void exit_any(struct pt_regs* ctx, struct lt_probe* probe) {
  if (probe->row->operation != LT_OP_RELEASE)
    exit_acquiring(ctx, probe);
  else if (ends(ctx, probe))
    exit_release(ctx, probe);
  end_timing(probe);
}

/* ---- The programs: entry and return apart --------------------------------------------------- */

/* Of any function: one that waits for its return is seen to return by call_returned. */
SEC("uprobe")
int call_entered(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_entry(ctx, &probe)) return 0;
  enter_any(ctx, &probe);
  end_timing(&probe);
  return 0;
}

SEC("uprobe")
int release_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_entry(ctx, &probe)) return 0;
  enter_release(ctx, &probe);
  end_timing(&probe);
  return 0;
}

/* On the trampoline that the function returned to, or on one of its own return instructions. */
SEC("uprobe")
int call_returned(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (look_up_return(ctx, &probe)) exit_any(ctx, &probe);
  return 0;
}

/* ---- The programs: a session ---------------------------------------------------------------- */

/*
 * A session's program runs on entry and, unless it returned 1 then, on return. There is a function
 * that says which it is, but its form has changed (bpf_session_is_return takes the context since
 * 7.0), and a program asks for one form only. The address that the probe is on says it as well: on
 * entry it is where the thread is.
 */
#define LT_SESSION_NO_RETURN 1

static __always_inline int session_entered(struct pt_regs* ctx) {
  return bpf_get_func_ip(ctx) == PT_REGS_IP(ctx);
}

/* A process whose stacks move (Go) gets no trampoline, also where other processes that share the
 * probe do: such a call is not followed. */
static __always_inline int may_have_trampoline(const struct lt_probe* probe) {
  return !(probe->thread->flags & LT_PROCESS_NO_TRAMPOLINES);
}

SEC("uprobe")
int call_session(struct pt_regs* ctx) {
  struct lt_probe probe;
  int no_return = 0;
  keep_own_stack_in_session(ctx);
  if (session_entered(ctx)) {
    if (!look_up_entry(ctx, &probe)) return LT_SESSION_NO_RETURN;
    if (!may_have_trampoline(&probe)) return LT_SESSION_NO_RETURN;
    no_return = enter_any(ctx, &probe) ? 0 : LT_SESSION_NO_RETURN;
    end_timing(&probe);
  } else if (look_up_return(ctx, &probe)) {
    exit_any(ctx, &probe);
  }
  return no_return;
}
