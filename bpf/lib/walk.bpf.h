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

static __always_inline void read_registers(struct pt_regs* ctx, struct lt_registers* registers) {
  registers->pc = PT_REGS_IP(ctx);
  registers->sp = PT_REGS_SP(ctx);
  registers->fp = PT_REGS_FP(ctx);
}

/*
 * Walks the stack from thread->registers into thread->frames; returns the number of frames and
 * leaves the reason for the end in thread->reason. A global function: the verifier checks it once
 * and by itself, however many programs call it.
 */
__noinline __u32 walk_stack(struct lt_thread* thread) {
  if (!thread) return 0;
  __u64 fp = thread->registers.fp;
  __u64 low = thread->registers.sp;
  __u32 n = 1;
  thread->frames[0] = thread->registers.pc;
  thread->reason = LT_STACK_DEPTH;
  for (__u32 i = 1; i < LT_MAX_FRAMES; i++) {
    __u64 frame[2];
    if (fp < low || fp & 7 || fp - low > (1 << 20)) {
      thread->reason = fp ? LT_STACK_NO_ROW : LT_STACK_COMPLETE;
      break;
    }
    if (bpf_probe_read_user(frame, sizeof(frame), (void*)fp)) {
      thread->reason = LT_STACK_UNREADABLE;
      break;
    }
    if (!frame[1]) {
      thread->reason = LT_STACK_COMPLETE;
      break;
    }
    thread->frames[i] = frame[1];
    n = i + 1;
    low = fp + 16;
    fp = frame[0];
  }
  return n;
}

#endif
