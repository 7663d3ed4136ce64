/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The one function that takes a call stack. It runs in return probes: the registers are the
 * caller's, right after the call, so frames[0] is the return address in the innermost caller, which
 * a probe at a function's first instruction would lose.
 */
#ifndef LEAKTRACE_WALK_BPF_H
#define LEAKTRACE_WALK_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/threads.bpf.h"

/* Frames that are wanted, at most LT_MAX_FRAMES; 0: no stacks. */
extern const volatile __u32 stack_depth;
#define LT_UNWIND_DEPTH stack_depth

#include "bpf/lib/unwind.bpf.h"

static __always_inline void read_registers(struct pt_regs* ctx, struct lt_registers* registers) {
  registers->pc = PT_REGS_IP(ctx);
  registers->sp = PT_REGS_SP(ctx);
  registers->fp = PT_REGS_FP(ctx);
  registers->extra = lt_unwind_extra(ctx);
}

/*
 * Walks the stack from thread->registers into thread->frames; returns the number of frames and
 * leaves the reason for the end in thread->reason. Part of the one function that calls it
 * (stack_of), for the walk is the deepest chain of calls that a program has.
 */
static __always_inline __u32 walk_stack(struct lt_thread* thread) {
  return unwind_user_stack(thread->tgid, &thread->registers, thread->frames, &thread->scratch,
                           &thread->reason);
}

#endif
