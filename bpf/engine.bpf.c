/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The engine: programs that know no function by name. What a hooked function does is its catalog
 * row, found by the attach cookie.
 *
 *            entry                                return
 *   acquire  enter_acquire: remember the size     exit_acquire: success? walk, store, count
 *   replace  enter_replace: take the old one out  exit_acquire: and close the old one
 *   release  enter_release: take out, count       exit_release: ranges whose release failed
 *
 * Where the kernel has sessions, one program serves entry and return and tells the kernel on entry
 * when it wants no return, as of calls that sampling leaves out; elsewhere they are programs of
 * their own. Of nested calls of one kind on a thread only the outermost counts. A return belongs to
 * it when the stack pointer says so, which needs no count of depths that longjmp or an exception
 * could upset. All that walks stacks is in one program, because the verifier looks at the walk once
 * for each program that has it, and attaching waits for that.
 */
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/processes.bpf.h"
#include "bpf/lib/rows.bpf.h"
#include "bpf/lib/sampling.bpf.h"
#include "bpf/lib/sites.bpf.h"
#include "bpf/lib/stacks.bpf.h"
#include "bpf/lib/threads.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Blocks outside these sizes are not traced. */
const volatile __u64 min_size = 0;
const volatile __u64 max_size = ~0ULL;

const volatile __u32 stack_depth = LT_MAX_FRAMES;

const volatile __u64 max_threads = 65536;
__u64 known_threads;
volatile __u32 state_epoch = 1;

#define LT_MAP_FIXED 0x10
#define LT_MAP_FIXED_NOREPLACE 0x100000
#define LT_MREMAP_FIXED 2
#define LT_MREMAP_DONTUNMAP 4

#define LT_SMALLEST_PAGE 4096

/* The code of an allocator, as glibc's malloc.o, is no larger. */
#define LT_ALLOCATOR_REACH 0x8000

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

/* A call left by longjmp or an exception never returns. What it had taken is still there. */
static __always_inline void abandon(struct lt_call* call) {
  lose(LT_LOSS_ABANDONED_CALL);
  if (call->has_old) put_back(call);
  call->active = 0;
}

/* A call that was interrupted by a time without probes: whether it has returned is not known, and
 * most calls that replace succeed. */
static __always_inline int is_of_past_window(struct lt_call* call) {
  if (call->window == sampling.window_from) return 0;
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

/*
 * Is the function now entered part of `call`? Deeper in the stack: yes. Shallower: the call was
 * left unseen. At the same depth: either a tail call (reallocarray jumps to realloc), and then the
 * return address is already the trampoline of the outer function's return probe, or a new call
 * after one that was left unseen.
 */
static __always_inline int is_nested(struct pt_regs* ctx, struct lt_call* call) {
  if (!call->active || is_of_past_window(call)) return 0;
  __u64 sp = PT_REGS_SP(ctx);
  if (sp < call->sp) return 1;
  if (sp == call->sp) {
    __u64 address = return_address(ctx, 0);
    if (address && address == lt_unwind_trampoline()) return 1;
  }
  abandon(call);
  return 0;
}

/* The call that this return ends, if it is the outermost one. */
static __always_inline int ends_call(struct pt_regs* ctx, struct lt_call* call) {
  if (!call->active || is_of_past_window(call)) return 0;
  __u64 sp = PT_REGS_SP(ctx);
  if (sp == call->sp + LT_RETURN_POPS) return 1;
  if (sp > call->sp + LT_RETURN_POPS) abandon(call);
  return 0;
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

static __always_inline void begin_call(struct pt_regs* ctx, const struct lt_probe* probe,
                                       const struct lt_arguments* arguments) {
  struct lt_call* call = probe->call;
  const struct lt_row* row = probe->row;
  call->sp = PT_REGS_SP(ctx);
  call->pointer =
      row->handle.source == LT_FROM_POINTEE ? argument(arguments, row->handle.argument) : 0;
  call->old_handle = value_at_entry(arguments, &row->old_handle);
  call->old_weight = value_at_entry(arguments, &row->old_weight);
  call->flags = value_at_entry(arguments, &row->flags);
  call->window = sampling.window_from;
  call->row = LT_COOKIE_ROW(probe->cookie);
  call->has_old = 0;
  call->taken = 0;
  call->nested = row->kind != LT_KIND_HEAP && call_of(probe->thread, LT_KIND_HEAP)->active;
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
  call->chosen = probe->row->extent == LT_EXTENT_RANGE || wanted_size(weight);
  if (!call->chosen || !sampling.base || probe->row->kind != LT_KIND_HEAP) return call->chosen;
  __u32 step = sampling.step;
  lt_opaque(step);
  call->step = step & 15;
  call->chosen = is_sampled(probe->thread, weight, step & 15);
  return call->chosen;
}

/* ---- Acquiring ------------------------------------------------------------------------------ */

static __always_inline void acquire_point(struct pt_regs* ctx, struct lt_thread* thread, __u32 kind,
                                          const struct lt_call* call, __u64 handle) {
  if (handle <= LT_HANDLE_BUSY) return;
  struct lt_site_key site_key = {.image = thread->image, .kind = kind};
  site_key.stack_id = capture_stack(ctx, thread);
  struct lt_site_counters* site = site_or_new(&site_key);
  if (!site) return;

  struct lt_resource_key key = {.handle = handle, .image = thread->image, .kind = kind};
  struct lt_resource resource = {
      .stack_id = site_key.stack_id,
      .weight = call->weight < LT_LARGEST_WEIGHT ? call->weight : LT_LARGEST_WEIGHT,
      .kind = kind,
      .step = call->step,
      .acquired_ns = bpf_ktime_get_ns(),
      .image = thread->image};
  if (store_resource(&key, &resource)) return;
  count_acquired(site, &resource);
}

static __always_inline void acquire_range(struct pt_regs* ctx, struct lt_thread* thread,
                                          const struct lt_row* row, const struct lt_call* call,
                                          __u64 handle) {
  __u32 flags = 0;
  if (call->nested || !wanted_size(call->weight)) flags |= LT_RANGE_NESTED;
  if (row->operation == LT_OP_REPLACE ? call->flags & LT_MREMAP_FIXED : call->flags & LT_MAP_FIXED)
    flags |= LT_RANGE_FIXED;
  __u64 stack_id = flags & LT_RANGE_NESTED ? 0 : capture_stack(ctx, thread);
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
  else
    acquire_point(ctx, probe->thread, probe->row->kind, probe->call, handle);
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

static __always_inline void release_point(struct pt_regs* ctx, const struct lt_probe* probe,
                                          __u64 handle) {
  struct lt_thread* thread = probe->thread;
  __u32 kind = probe->row->kind;
  struct lt_resource_key key = {.handle = handle, .image = thread->image, .kind = kind};
  struct lt_resource resource;
  if (take_resource(&key, sampling.base != 0, &resource)) {
    count_released(&resource, 1);
    thread->last_released = handle;
    return;
  }
  if (sampling.base && kind == LT_KIND_HEAP) return;
  /* operator delete that calls free: seen twice. */
  if (thread->last_released == handle) return;
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

static __always_inline int look_up_entry(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!look_up(ctx, probe, 1)) return 0;
  __sync_fetch_and_add(
      probe->cookie & LT_COOKIE_STEPPED ? &probe->hits->stepped : &probe->hits->entries, 1);
  return 1;
}

static __always_inline int look_up_return(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!look_up(ctx, probe, 0)) return 0;
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

/* On entry: true when this is the outermost call of its kind. */
static __always_inline int is_outermost(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!is_nested(ctx, probe->call)) return 1;
  note_nested(probe->call);
  return 0;
}

/* On return: true when the outermost call ends here; the row is that call's then. */
static __always_inline int ends(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!ends_call(ctx, probe->call)) return 0;
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
  if (!is_outermost(ctx, probe)) return 0;
  struct lt_arguments arguments;
  read_arguments(ctx, &arguments);
  if (!choose(probe, value_at_entry(&arguments, &probe->row->weight)) && !must_be_watched(probe))
    return 0;
  begin_call(ctx, probe, &arguments);
  return 1;
}

static __always_inline int enter_replace(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!is_outermost(ctx, probe)) return 0;
  struct lt_call* call = probe->call;
  struct lt_arguments arguments;
  read_arguments(ctx, &arguments);
  int chosen = choose(probe, value_at_entry(&arguments, &probe->row->weight));
  begin_call(ctx, probe, &arguments);
  /* The old one is taken out now, because its handle can be acquired by another thread before this
   * call returns. Its counters move only when the call has succeeded. */
  if (probe->row->extent == LT_EXTENT_POINT) {
    struct lt_resource_key key = {
        .handle = call->old_handle, .image = probe->thread->image, .kind = probe->row->kind};
    if (call->old_handle) call->has_old = take_resource(&key, sampling.base != 0, &call->old);
    call->active = chosen || call->has_old || must_be_watched(probe);
    return call->active;
  }
  /* mremap keeps the old mapping when it duplicates (old size 0) or is told to. */
  if (is_valid_range(call) && !(call->flags & LT_MREMAP_DONTUNMAP)) send_taken(probe);
  return 1;
}

static __always_inline int enter_release(struct pt_regs* ctx, const struct lt_probe* probe) {
  struct lt_arguments arguments;
  read_arguments(ctx, &arguments);
  if (probe->row->extent == LT_EXTENT_RANGE) {
    if (!is_outermost(ctx, probe)) return 0;
    begin_call(ctx, probe, &arguments);
    if (is_valid_range(probe->call)) send_taken(probe);
    return 1;
  }
  __u64 handle = value_at_entry(&arguments, &probe->row->old_handle);
  if (handle) release_point(ctx, probe, handle);
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
  int success = succeeded(probe->row->success, result);
  if (probe->row->operation == LT_OP_REPLACE) close_replaced(probe, success);
  if (success && probe->call->chosen) acquire_result(ctx, probe, result);
}

/* Only functions whose release can fail have this one. */
static __always_inline void exit_release(struct pt_regs* ctx, const struct lt_probe* probe) {
  if (!succeeded(probe->row->success, returned(ctx))) send_restored(probe);
}

/* ---- The programs: entry and return apart --------------------------------------------------- */

SEC("uprobe")
int acquire_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_entry(ctx, &probe)) return 0;
  enter_acquire(ctx, &probe);
  end_timing(&probe);
  return 0;
}

SEC("uprobe")
int replace_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_entry(ctx, &probe)) return 0;
  enter_replace(ctx, &probe);
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

SEC("uprobe")
int acquire_exit(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_return(ctx, &probe)) return 0;
  if (ends(ctx, &probe)) exit_acquire(ctx, &probe);
  end_timing(&probe);
  return 0;
}

SEC("uprobe")
int release_exit(struct pt_regs* ctx) {
  struct lt_probe probe;
  keep_own_stack(ctx);
  if (!look_up_return(ctx, &probe)) return 0;
  if (ends(ctx, &probe)) exit_release(ctx, &probe);
  end_timing(&probe);
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

static __always_inline int enter_any(struct pt_regs* ctx, const struct lt_probe* probe) {
  switch (probe->row->operation) {
    case LT_OP_ACQUIRE:
      return enter_acquire(ctx, probe);
    case LT_OP_REPLACE:
      return enter_replace(ctx, probe);
    default:
      return enter_release(ctx, probe);
  }
}

SEC("uprobe")
int call_session(struct pt_regs* ctx) {
  struct lt_probe probe;
  int no_return = 0;
  keep_own_stack_in_session(ctx);
  if (session_entered(ctx)) {
    if (!look_up_entry(ctx, &probe)) return LT_SESSION_NO_RETURN;
    no_return = enter_any(ctx, &probe) ? 0 : LT_SESSION_NO_RETURN;
  } else {
    if (!look_up_return(ctx, &probe)) return 0;
    if (ends(ctx, &probe)) {
      if (probe.row->operation == LT_OP_RELEASE)
        exit_release(ctx, &probe);
      else
        exit_acquire(ctx, &probe);
    }
  }
  end_timing(&probe);
  return no_return;
}
