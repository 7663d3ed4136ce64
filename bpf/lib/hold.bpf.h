/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A program that has been executed waits here for leaktrace, which holds it by ptrace when it hears
 * of the exec (user/tracer/holds.h): from then on it sleeps, and has run nothing yet.
 *
 * Until then it is kept busy, for a limited time and in the kernel, rather than stopped by a
 * signal: that would have to be taken back by leaktrace, which may be killed, and a parent with job
 * control would see it.
 */
#ifndef LEAKTRACE_HOLD_BPF_H
#define LEAKTRACE_HOLD_BPF_H

#include "bpf/lib/common.bpf.h"

/* Written by user space: enum lt_closing. */
extern volatile __u32 closing;

/* How long to wait, in ns; 0: not at all, for leaktrace could not run meanwhile. Set before
 * loading.
 */
extern const volatile __u64 hold_wait_ns;

/* An exec was not answered in time. User space clears it when it answers one: what hangs costs one
 * wait, and not one for each exec. */
extern volatile __u32 hold_unanswered;

/* The next return to user mode ends in a stop: PTRACE_INTERRUPT (include/linux/sched/jobctl.h). */
#define LT_JOBCTL_TRAP_STOP (1UL << 19)

/* More rounds than fit into any wait. */
#define LT_HOLD_ROUNDS (1 << 22)

static __always_inline int is_held(void) {
  const volatile struct task_struct* task = bpf_get_current_task_btf();
  return task->ptrace && task->jobctl & LT_JOBCTL_TRAP_STOP;
}

static long look_for_hold(__u32 round, __u64* until) {
  return is_held() || bpf_ktime_get_ns() > *until;
}

/* Of the current task, which has execed. True when it is held; a program that has a tracer already
 * (leaktrace that started it, or a debugger) has not to wait. */
static __always_inline int await_hold(const struct task_struct* task) {
  if (task->ptrace) return 1;
  if (!hold_wait_ns || hold_unanswered || closing == LT_CLOSING_TRACE) return 0;
  __u64 until = bpf_ktime_get_ns() + hold_wait_ns;
  bpf_loop(LT_HOLD_ROUNDS, look_for_hold, &until, 0);
  if (is_held()) return 1;
  hold_unanswered = 1;
  return 0;
}

#endif
