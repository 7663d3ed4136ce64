/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the bench's BPF objects and the bench share. */
#ifndef LEAKTRACE_BENCH_STACK_COST_H
#define LEAKTRACE_BENCH_STACK_COST_H

/* The programs that are compared. Each finds the thread's scratch memory and counts what it found,
 * so the time of COST_NOTHING is what all others have in common. */
enum cost_program {
  COST_NOTHING,
  COST_KERNEL, /* bpf_get_stack, BPF_F_USER_STACK */
  COST_UNWIND, /* unwind_user_stack */
  COST_COLD,   /* the same, with nothing in the cache from pc to row */
  COST_PYTHON, /* unwind_user_stack, then the Python frames */
  COST_PROGRAMS,
  COST_COUNTED = COST_PROGRAMS, /* as COST_UNWIND, slower because it counts its parts */
};

struct cost_found {
  unsigned long long stacks;
  unsigned long long frames;
  unsigned long long python_frames;
  unsigned long long cut; /* stacks that did not end at the outermost frame */
};

/* What the unwinder does on the way (LT_UNWIND_COUNT in bpf/lib/unwind.bpf.h). */
enum unwind_part {
  PART_SEARCH, /* not in the cache from pc to row */
  PART_WINDOW, /* a word outside the stack window, of which the first word is one */
  PART_RULE,   /* a frame that no row describes */
  PARTS,
};

#endif
