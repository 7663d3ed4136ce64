/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The engine: five programs that know no function by name. What a hooked function does is its
 * catalog row, found by the attach cookie.
 *
 *            entry                                return
 *   acquire  acquire_enter: remember the size     acquire_exit: success? walk, store, count
 *   replace  replace_enter: take the old one out  acquire_exit: and close the old one
 *   release  release_enter: take out, count       release_exit: ranges whose release failed
 *
 * Of nested calls of one kind on a thread only the outermost counts. A return belongs to it when
 * the stack pointer says so, which needs no count of depths that longjmp or an exception could
 * upset. All that walks stacks is one program, because the verifier looks at the walk once for each
 * program that has it, and attaching waits for that.
 */
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/processes.bpf.h"
#include "bpf/lib/rows.bpf.h"
#include "bpf/lib/sites.bpf.h"
#include "bpf/lib/stacks.bpf.h"
#include "bpf/lib/threads.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Blocks outside these sizes are not traced. */
const volatile __u64 min_size = 0;
const volatile __u64 max_size = ~0ULL;

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
static __always_inline void put_back(__u32 image, __u32 kind, const struct lt_call* call) {
  struct lt_resource_key key = {.handle = call->old_handle, .image = image, .kind = kind};
  if (store_resource(&key, &call->old)) count_released(image, kind, &call->old);
}

/* A call left by longjmp or an exception never returns. What it had taken is still there. */
static __always_inline void abandon(struct lt_call* call, __u32 image, __u32 kind) {
  lose(LT_LOSS_ABANDONED_CALL);
  if (call->has_old) put_back(image, kind, call);
  call->active = 0;
}

static __always_inline __u64 return_address(struct pt_regs* ctx) {
#if defined(__TARGET_ARCH_x86)
  __u64 address = 0;
  bpf_probe_read_user(&address, sizeof(address), (void*)PT_REGS_SP(ctx));
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
static __always_inline int is_nested(struct pt_regs* ctx, struct lt_call* call, __u32 image,
                                     __u32 kind) {
  if (!call->active) return 0;
  __u64 sp = PT_REGS_SP(ctx);
  if (sp < call->sp) return 1;
  if (sp == call->sp) {
    __u64 address = return_address(ctx);
    if (address && address == lt_unwind_trampoline()) return 1;
  }
  abandon(call, image, kind);
  return 0;
}

/* The call that this return ends, if it is the outermost one. */
static __always_inline int ends_call(struct pt_regs* ctx, struct lt_call* call, __u32 image,
                                     __u32 kind) {
  if (!call->active) return 0;
  __u64 sp = PT_REGS_SP(ctx);
  if (sp == call->sp + LT_RETURN_POPS) return 1;
  if (sp > call->sp + LT_RETURN_POPS) abandon(call, image, kind);
  return 0;
}

static __always_inline void begin_call(struct pt_regs* ctx, struct lt_thread* thread,
                                       struct lt_call* call, const struct lt_row* row,
                                       __u32 index) {
  struct lt_arguments arguments;
  read_arguments(ctx, &arguments);
  call->sp = PT_REGS_SP(ctx);
  call->weight = value_at_entry(&arguments, &row->weight);
  call->pointer =
      row->handle.source == LT_FROM_POINTEE ? argument(&arguments, row->handle.argument) : 0;
  call->old_handle = value_at_entry(&arguments, &row->old_handle);
  call->old_weight = value_at_entry(&arguments, &row->old_weight);
  call->flags = value_at_entry(&arguments, &row->flags);
  call->row = index;
  call->has_old = 0;
  call->taken = 0;
  call->nested = row->kind != LT_KIND_HEAP && call_of(thread, LT_KIND_HEAP)->active;
  call->active = 1;
  thread->last_released = 0;
}

/* ---- Acquiring ------------------------------------------------------------------------------ */

static __always_inline void acquire_point(struct pt_regs* ctx, struct lt_thread* thread, __u32 kind,
                                          __u32 image, __u64 handle, __u64 weight) {
  if (!wanted_size(weight)) return;
  struct lt_site_key site_key = {.image = image, .kind = kind};
  site_key.stack_id = capture_stack(ctx, thread, image);
  struct lt_site_counters* site = site_or_new(&site_key);
  if (!site) return;

  struct lt_resource_key key = {.handle = handle, .image = image, .kind = kind};
  struct lt_resource resource = {
      .stack_id = site_key.stack_id, .weight = weight, .acquired_ns = bpf_ktime_get_ns()};
  if (store_resource(&key, &resource)) return;
  count_acquired(site, weight, resource.acquired_ns);
}

static __always_inline void acquire_range(struct pt_regs* ctx, struct lt_thread* thread,
                                          const struct lt_row* row, const struct lt_call* call,
                                          __u32 image, __u64 handle) {
  __u32 flags = 0;
  if (call->nested || !wanted_size(call->weight)) flags |= LT_RANGE_NESTED;
  if (row->operation == LT_OP_REPLACE ? call->flags & LT_MREMAP_FIXED : call->flags & LT_MAP_FIXED)
    flags |= LT_RANGE_FIXED;
  __u64 stack_id = flags & LT_RANGE_NESTED ? 0 : capture_stack(ctx, thread, image);
  send_range(LT_EVENT_RANGE_ACQUIRED, image, handle, call->weight, stack_id, flags);
}

/* Stores what a successful call returned. */
static __always_inline void acquire_result(struct pt_regs* ctx, struct lt_thread* thread,
                                           const struct lt_row* row, struct lt_call* call,
                                           __u32 image, __u64 result) {
  __u64 handle = result;
  if (row->handle.source == LT_FROM_POINTEE &&
      bpf_probe_read_user(&handle, sizeof(handle), (void*)call->pointer)) {
    lose(LT_LOSS_READ_FAULT);
    return;
  }
  if (row->extent == LT_EXTENT_RANGE)
    acquire_range(ctx, thread, row, call, image, handle);
  else
    acquire_point(ctx, thread, row->kind, image, handle, call->weight);
}

/* ---- Releasing ------------------------------------------------------------------------------ */

/* A forked process releases what its parent acquired, and with a filter on sizes what was not
 * traced is released too: of those nothing can be said. */
static __always_inline void count_unmatched(const struct lt_process* process) {
  if (process->flags & LT_PROCESS_FORKED || min_size != 0 || max_size != ~0ULL) return;
  lose(LT_LOSS_UNMATCHED_RELEASE);
}

/*
 * Does the allocator release for itself? When a thread ends, glibc empties its cache of free blocks
 * through free() (malloc/malloc.c, tcache_thread_shutdown): the program released those long ago.
 */
static __always_inline int called_by_allocator(struct pt_regs* ctx) {
  __u64 distance = return_address(ctx) - PT_REGS_IP(ctx) + LT_ALLOCATOR_REACH;
  return distance < 2 * LT_ALLOCATOR_REACH;
}

static __always_inline void release_point(struct pt_regs* ctx, struct lt_thread* thread,
                                          const struct lt_process* process, __u32 kind,
                                          __u64 handle) {
  struct lt_resource_key key = {.handle = handle, .image = process->image, .kind = kind};
  struct lt_resource resource;
  if (take_resource(&key, &resource)) {
    count_released(process->image, kind, &resource);
    if (thread) thread->last_released = handle;
    return;
  }
  /* operator delete that calls free: seen twice. */
  if (thread && thread->last_released == handle) return;
  /* Within a call of the same kind it may be the very block that the call has taken out (a realloc
   * that frees), or one that the call made and did not count. */
  if (thread && call_of(thread, kind)->active) return;
  if (called_by_allocator(ctx)) return;
  count_unmatched(process);
}

/* ---- The programs --------------------------------------------------------------------------- */

/* What a program on a hooked function works on. */
struct lt_probe {
  const struct lt_process* process;
  const struct lt_row* row;
  struct lt_thread* thread;
  struct lt_call* call;
};

static __always_inline int look_up(struct pt_regs* ctx, struct lt_probe* probe) {
  keep_own_stack(ctx);
  probe->process = current_process();
  if (!probe->process) return 0;
  count(&probe_hits, 0);
  probe->row = row_at(row_index(ctx));
  return probe->row != NULL;
}

/* On entry: true when this is the outermost call of its kind, which then has begun. */
static __always_inline int begins(struct pt_regs* ctx, struct lt_probe* probe) {
  probe->thread = current_thread_or_new();
  if (!probe->thread) return 0;
  probe->call = call_of(probe->thread, probe->row->kind);
  if (is_nested(ctx, probe->call, probe->process->image, probe->row->kind)) return 0;
  begin_call(ctx, probe->thread, probe->call, probe->row, row_index(ctx));
  return 1;
}

/* On return: true when the outermost call ends here; the row is that call's then. */
static __always_inline int ends(struct pt_regs* ctx, struct lt_probe* probe) {
  if (!look_up(ctx, probe)) return 0;
  probe->thread = current_thread();
  if (!probe->thread) return 0;
  probe->call = call_of(probe->thread, probe->row->kind);
  if (!ends_call(ctx, probe->call, probe->process->image, probe->row->kind)) return 0;
  probe->call->active = 0;
  probe->thread->unloads = probe->process->unloads;
  probe->row = row_at(probe->call->row);
  return probe->row != NULL;
}

static __always_inline void send_taken(const struct lt_probe* probe) {
  probe->call->taken = 1;
  send_range(LT_EVENT_RANGE_TAKEN, probe->process->image, probe->call->old_handle,
             probe->call->old_weight, 0, 0);
}

static __always_inline void send_restored(const struct lt_probe* probe) {
  if (!probe->call->taken) return;
  send_range(LT_EVENT_RANGE_RESTORED, probe->process->image, probe->call->old_handle,
             probe->call->old_weight, 0, 0);
}

/* A range that the kernel would look at: else the call fails (EINVAL: munmap(2), mremap(2)), and
 * nothing must be taken by it, not for a moment. */
static __always_inline int is_valid_range(const struct lt_call* call) {
  return call->old_weight && !(call->old_handle & (LT_SMALLEST_PAGE - 1));
}

SEC("uprobe")
int acquire_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  if (look_up(ctx, &probe)) begins(ctx, &probe);
  return 0;
}

SEC("uprobe")
int release_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  if (!look_up(ctx, &probe)) return 0;
  if (probe.row->extent == LT_EXTENT_RANGE) {
    if (begins(ctx, &probe) && is_valid_range(probe.call)) send_taken(&probe);
    return 0;
  }
  struct lt_arguments arguments;
  read_arguments(ctx, &arguments);
  __u64 handle = value_at_entry(&arguments, &probe.row->old_handle);
  if (handle) release_point(ctx, current_thread_or_new(), probe.process, probe.row->kind, handle);
  return 0;
}

/* Only functions whose release can fail have this one. */
SEC("uprobe")
int release_exit(struct pt_regs* ctx) {
  struct lt_probe probe;
  if (!ends(ctx, &probe)) return 0;
  if (!succeeded(probe.row->success, returned(ctx))) send_restored(&probe);
  return 0;
}

SEC("uprobe")
int replace_enter(struct pt_regs* ctx) {
  struct lt_probe probe;
  if (!look_up(ctx, &probe) || !begins(ctx, &probe)) return 0;
  struct lt_call* call = probe.call;
  /* The old one is taken out now, because its handle can be acquired by another thread before this
   * call returns. Its counters move only when the call has succeeded. */
  if (probe.row->extent == LT_EXTENT_POINT) {
    struct lt_resource_key key = {
        .handle = call->old_handle, .image = probe.process->image, .kind = probe.row->kind};
    if (call->old_handle) call->has_old = take_resource(&key, &call->old);
    return 0;
  }
  /* mremap keeps the old mapping when it duplicates (old size 0) or is told to. */
  if (is_valid_range(call) && !(call->flags & LT_MREMAP_DONTUNMAP)) send_taken(&probe);
  return 0;
}

static __always_inline void close_replaced_point(const struct lt_process* process,
                                                 struct lt_call* call, __u32 kind, int released) {
  if (released) {
    if (call->has_old)
      count_released(process->image, kind, &call->old);
    else if (call->old_handle)
      count_unmatched(process);
  } else if (call->has_old) {
    put_back(process->image, kind, call);
  }
  call->has_old = 0;
}

static __always_inline void close_replaced(const struct lt_probe* probe, int success) {
  if (probe->row->extent == LT_EXTENT_POINT) {
    /* glibc's realloc(p, 0) frees p and returns NULL (manual, "Changing the Size of a Block"). */
    close_replaced_point(probe->process, probe->call, probe->row->kind,
                         success || (probe->call->old_handle && !probe->call->weight));
  } else if (!success) {
    send_restored(probe);
  }
}

/* The return of a call that acquires, or that replaces. */
SEC("uprobe")
int acquire_exit(struct pt_regs* ctx) {
  struct lt_probe probe;
  if (!ends(ctx, &probe)) return 0;
  __u64 result = returned(ctx);
  int success = succeeded(probe.row->success, result);
  if (probe.row->operation == LT_OP_REPLACE) close_replaced(&probe, success);
  if (success)
    acquire_result(ctx, probe.thread, probe.row, probe.call, probe.process->image, result);
  return 0;
}
