/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Knowing a stack again without walking it.
 *
 * A program calls the allocator at the same depth of the same loop time and again. A walk follows
 * from the registers that it began with, the words of the stack that it read, and the code that is
 * mapped. So a thread remembers of its last walks what they depended on (lt_unwind_depend_on), and
 * when all of that is as it was, the stack is the same one. That is no guess: whatever a walk used
 * beside it makes it one that is not remembered (frame pointers of generated code, signal frames,
 * other return probes, Python), and `state_epoch` moves on when code is unmapped and when stacks
 * are recycled.
 */
#ifndef LEAKTRACE_RECALL_BPF_H
#define LEAKTRACE_RECALL_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/threads.bpf.h"

static __always_inline struct lt_recall* recall_at(struct lt_thread* thread) {
  __u64 hash = (thread->registers.pc ^ thread->registers.sp << 7) * 0x9e3779b97f4a7c15ULL;
  hash >>= 61;
  lt_opaque(hash);
  return &thread->recalls[hash & (LT_RECALLS - 1)];
}

/* The id of the stack at thread->registers when it is known again, else LT_STACK_ID_NONE. */
__weak __noinline __u64 recall_stack(struct lt_thread* thread) {
  if (!thread) return LT_STACK_ID_NONE;
  const struct lt_recall* recall = recall_at(thread);
  if (recall->pc != thread->registers.pc || recall->sp != thread->registers.sp ||
      recall->epoch != thread->epoch)
    return LT_STACK_ID_NONE;
  if (recall->uses_fp && recall->fp != thread->registers.fp) return LT_STACK_ID_NONE;
  __u64 bytes = recall->bytes;
  if (bytes > LT_RECALL_BYTES) return LT_STACK_ID_NONE;
  thread->scratch.window_bytes = 0;
  if (bpf_probe_read_user(thread->scratch.window, bytes, (void*)recall->sp))
    return LT_STACK_ID_NONE;
  __u32 words = recall->words;
  for (__u32 i = 0; i < LT_RECALL_WORDS && i < words; i++)
    if (thread->scratch.window[recall->word_at[i] & (LT_RECALL_BYTES / 8 - 1)] != recall->word[i])
      return LT_STACK_ID_NONE;
  return recall->stack_id;
}

/* After a walk: remembers its stack, when it can be recalled. */
__weak __noinline int remember_stack(struct lt_thread* thread, __u64 stack_id) {
  if (!thread) return 0;
  const struct lt_unwind_scratch* scratch = &thread->scratch;
  __u32 words = scratch->words_known;
  if (words > LT_RECALL_WORDS || thread->reason != LT_STACK_COMPLETE) return 0;
  struct lt_recall* recall = recall_at(thread);
  recall->pc = thread->registers.pc;
  recall->sp = thread->registers.sp;
  recall->fp = thread->registers.fp;
  recall->uses_fp = scratch->first_fp;
  recall->epoch = thread->epoch;
  recall->stack_id = stack_id;
  recall->words = words;
  __u32 last = 0;
  for (__u32 i = 0; i < LT_RECALL_WORDS && i < words; i++) {
    __u32 at = scratch->word_at[i];
    if (at > last) last = at;
    recall->word[i] = scratch->word[i];
    recall->word_at[i] = at;
  }
  recall->bytes = (last + 1) * 8;
  return 0;
}

#endif
