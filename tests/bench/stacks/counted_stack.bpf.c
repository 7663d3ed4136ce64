/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The unwinder once more, with counters of what it does on the way. Its maps are those of
 * stack_cost.bpf.c. */
#include "bpf/lib/common.bpf.h"
#include "tests/bench/stacks/stack_cost.h"

__u64 parts[PARTS];
struct cost_found counted;

#define LT_UNWIND_COUNT(part) __sync_fetch_and_add(&parts[PART_##part], 1)

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

SEC("uretprobe")
int count_stack(struct pt_regs* ctx) {
  struct lt_thread* thread = thread_or_new();
  if (!thread) return 0;
  read_registers(ctx, &thread->registers);
  __sync_fetch_and_add(&counted.frames, walk_stack(thread));
  __sync_fetch_and_add(&counted.stacks, 1);
  return 0;
}
