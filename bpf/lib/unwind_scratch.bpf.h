/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the unwinder is given and what it remembers, for whoever keeps it in a map value. */
#ifndef LEAKTRACE_UNWIND_SCRATCH_BPF_H
#define LEAKTRACE_UNWIND_SCRATCH_BPF_H

/* Two kilobytes: a read costs about 150 ns, most of it whatever its size (the kernel checks where
 * the copy goes), and 45 ns a kilobyte (tests/bench/stacks). */
#define LT_UNWIND_WINDOW_WORDS 256
#define LT_UNWIND_WINDOW_BYTES (LT_UNWIND_WINDOW_WORDS * 8)

/* A stack that was walked before is known again by the words that its walk depended on, which lie
 * so near to its top. */
#define LT_RECALL_WORDS 32
#define LT_RECALL_BYTES 2048

struct lt_registers {
  __u64 pc, sp, fp;
  __u64 extra; /* see lt_unwind_extra */
};

/* What the unwinder keeps between steps; in a map value that belongs to the calling thread. */
struct lt_unwind_scratch {
  struct lt_registers regs; /* of the frame that is unwound next */
  __u64 signal_sp;          /* the stack pointer of the last signal frame */
  __u64 trampoline;         /* where uretprobes make functions return to; 0: there is none */
  __u64 return_instance;    /* struct return_instance to search on from; 0: from the first */
  __u64 generation;         /* of the process's ranges */
  __u32 first_range;
  __u32 ranges;
  __u32 reason; /* enum lt_stack_flags */
  __u32 exact;  /* pc was interrupted: it is no return address */
  __u32 extra_known;
  __u32 guessed;          /* pc was found through a frame pointer without unwind information */
  __u32 by_frame_pointer; /* frames that were */
  __u32 nothing;          /* always 0, which the verifier does not know */
  /* What the walk depends on, so that it can be recalled (bpf/lib/recall.bpf.h). */
  __u64 first_sp;
  __u64 fp_slot;     /* where regs.fp was read; 0: it is the one that the walk began with */
  __u32 first_fp;    /* that one was used */
  __u32 words_known; /* LT_RECALL_WORDS + 1: the walk depends on more than is noted here */
  __u64 word[LT_RECALL_WORDS];
  __u16 word_at[LT_RECALL_WORDS]; /* from first_sp, in words */
  __u64 window_start;
  __u64 window_bytes;
  __u64 window[LT_RECALL_BYTES / 8]; /* the unwinder uses LT_UNWIND_WINDOW_WORDS of it */
};

#endif
