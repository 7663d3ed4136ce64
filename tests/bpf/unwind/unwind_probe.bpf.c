/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Takes stacks on a function's return, as the engine does. */
#include "vmlinux.h"
/* vmlinux.h first */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/lib/unwind.bpf.h"
#include "tests/bpf/unwind/unwind_probe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct thread {
  __u64 something_before;
  struct lt_registers registers;
  __u32 reason;
  __u64 frames[LT_MAX_FRAMES];
  struct lt_unwind_scratch scratch;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, struct thread);
} threads SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct thread);
} new_thread SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16 << 20);
} stacks SEC(".maps");

__u32 emit = EMIT_NONE;
__u64 ended[LT_STACK_REASONS];
__u64 frames_seen = 0;
__u64 lost = 0;

static __always_inline struct thread* this_thread(void) {
  __u64 id = bpf_get_current_pid_tgid();
  struct thread* thread = bpf_map_lookup_elem(&threads, &id);
  if (thread) return thread;
  __u32 zero = 0;
  void* empty = bpf_map_lookup_elem(&new_thread, &zero);
  if (!empty) return NULL;
  bpf_map_update_elem(&threads, &id, empty, BPF_NOEXIST);
  return bpf_map_lookup_elem(&threads, &id);
}

/* Unwinds within a global function, where the thread is memory and no map value any more. */
__noinline __u32 walk_stack(struct thread* thread) {
  if (!thread) return 0;
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  return unwind_user_stack(tgid, &thread->registers, thread->frames, &thread->scratch,
                           &thread->reason);
}

static __always_inline void send(const struct thread* thread, __u32 count) {
  struct stack_event* event = bpf_ringbuf_reserve(&stacks, sizeof(*event), 0);
  if (!event) {
    __sync_fetch_and_add(&lost, 1);
    return;
  }
  __u64 id = bpf_get_current_pid_tgid();
  event->tgid = id >> 32;
  event->tid = id;
  event->count = count;
  event->reason = thread->reason;
  bpf_probe_read_kernel(event->frames, sizeof(event->frames), thread->frames);
  bpf_ringbuf_submit(event, 0);
}

static __always_inline void note(const struct thread* thread, __u32 count) {
  __u32 reason = thread->reason;
  if (reason < LT_STACK_REASONS) __sync_fetch_and_add(&ended[reason], 1);
  __sync_fetch_and_add(&frames_seen, count);
  if (emit == EMIT_ALL || (emit == EMIT_INCOMPLETE && reason != LT_STACK_COMPLETE))
    send(thread, count);
}

SEC("uretprobe")
int take_stack(struct pt_regs* ctx) {
  struct thread* thread = this_thread();
  if (!thread) return 0;
  thread->registers.pc = PT_REGS_IP(ctx);
  thread->registers.sp = PT_REGS_SP(ctx);
  thread->registers.fp = PT_REGS_FP(ctx);
  thread->registers.extra = lt_unwind_extra(ctx);
  note(thread, walk_stack(thread));
  return 0;
}

/* The same with the map value itself. */
SEC("uretprobe")
int take_stack_inline(struct pt_regs* ctx) {
  struct thread* thread = this_thread();
  if (!thread) return 0;
  struct lt_registers registers = {.pc = PT_REGS_IP(ctx),
                                   .sp = PT_REGS_SP(ctx),
                                   .fp = PT_REGS_FP(ctx),
                                   .extra = lt_unwind_extra(ctx)};
  __u32 tgid = bpf_get_current_pid_tgid() >> 32, reason = 0;
  __u32 count = unwind_user_stack(tgid, &registers, thread->frames, &thread->scratch, &reason);
  thread->reason = reason;
  note(thread, count);
  return 0;
}

/* Replaces the return addresses of the functions that it is put on, and no more. */
SEC("uretprobe")
int hijack(struct pt_regs* ctx) {
  return 0;
}

/* What the kernel's own walk costs, to compare with. */
SEC("uretprobe")
int kernel_stack(struct pt_regs* ctx) {
  struct thread* thread = this_thread();
  if (!thread) return 0;
  long bytes = bpf_get_stack(ctx, thread->frames, sizeof(thread->frames), BPF_F_USER_STACK);
  if (bytes > 0) __sync_fetch_and_add(&frames_seen, bytes / 8);
  __sync_fetch_and_add(&ended[LT_STACK_COMPLETE], 1);
  return 0;
}
