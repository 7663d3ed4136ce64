/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One program for each way to take a stack, and nothing else in it. */
#include "tests/bench/stacks/stack_cost.h"
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/python.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "bpf/lib/walk.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of the engine (bpf/engine.bpf.c). */
const volatile __u32 stack_depth = LT_MAX_FRAMES;
const volatile __u64 max_threads = 65536;
const volatile __u32 own_pid_level = 0;
const volatile __u32 own_pid_namespace = 0;
__u64 known_threads;
volatile __u32 state_epoch = 1;

struct cost_found found[COST_PROGRAMS];

static __always_inline void note(enum cost_program program, __u32 frames, __u32 python_frames,
                                 __u32 reason) {
  __sync_fetch_and_add(&found[program].stacks, 1);
  __sync_fetch_and_add(&found[program].frames, frames);
  if (python_frames) __sync_fetch_and_add(&found[program].python_frames, python_frames);
  if (reason != LT_STACK_COMPLETE) __sync_fetch_and_add(&found[program].cut, 1);
}

SEC("uretprobe")
int take_nothing(struct pt_regs* ctx) {
  struct lt_thread* thread = thread_or_new();
  if (!thread) return 0;
  read_registers(ctx, &thread->registers);
  note(COST_NOTHING, 0, 0, LT_STACK_COMPLETE);
  return 0;
}

SEC("uretprobe")
int take_kernel_stack(struct pt_regs* ctx) {
  struct lt_thread* thread = thread_or_new();
  if (!thread) return 0;
  long bytes = bpf_get_stack(ctx, thread->frames, LT_MAX_FRAMES * 8, BPF_F_USER_STACK);
  note(COST_KERNEL, bytes > 0 ? (__u64)bytes / 8 : 0, 0, LT_STACK_COMPLETE);
  return 0;
}

static __always_inline int unwind(struct pt_regs* ctx, enum cost_program program) {
  struct lt_thread* thread = thread_or_new();
  if (!thread) return 0;
  read_registers(ctx, &thread->registers);
  __u32 frames = walk_stack(thread);
  note(program, frames, 0, thread->reason);
  return 0;
}

SEC("uretprobe")
int take_stack(struct pt_regs* ctx) {
  return unwind(ctx, COST_UNWIND);
}

/* What is in the cache belongs to another generation of the process's mappings. */
SEC("uretprobe")
int take_stack_cold(struct pt_regs* ctx) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct lt_unwind_process* process = bpf_map_lookup_elem(&unwind_procs, &tgid);
  if (process) __sync_fetch_and_add(&process->generation, 1ULL << 32);
  return unwind(ctx, COST_COLD);
}

SEC("uretprobe")
int take_python_stack(struct pt_regs* ctx) {
  struct lt_thread* thread = thread_or_new();
  if (!thread) return 0;
  read_registers(ctx, &thread->registers);
  __u32 native = walk_stack(thread);
  thread->native_frames = native;
  __u32 words = walk_python(thread, bpf_get_current_pid_tgid() >> 32);
  note(COST_PYTHON, native, (words - native) / LT_PYTHON_FRAME_WORDS, thread->reason);
  return 0;
}
