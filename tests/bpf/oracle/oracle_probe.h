/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the oracle's BPF object and its checker share. */
#ifndef LEAKTRACE_TESTS_ORACLE_PROBE_H
#define LEAKTRACE_TESTS_ORACLE_PROBE_H

#include "leaktrace/abi.h"

/* By DWARF number: rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip (System V ABI of x86-64, 3.36). */
#define ORACLE_REGISTERS 17
#define ORACLE_RSP 7
#define ORACLE_RIP 16

/* A copy takes one of these sizes in the ring: whole pages, from the one of the stack pointer. */
#define ORACLE_PAGE 4096
#define ORACLE_SMALL_COPY (8 << 10)
#define ORACLE_MEDIUM_COPY (32 << 10)
#define ORACLE_LARGE_COPY (128 << 10)

/* One moment of one thread: what leaktrace's unwinder said, and all that another one needs. */
struct oracle_stack {
  __u64 time; /* CLOCK_MONOTONIC, nanoseconds */
  __u32 tgid;
  __u32 tid;
  __u32 count;  /* frames, from the return address of the probed function on */
  __u32 reason; /* enum lt_stack_flags */
  __u64 reg[ORACLE_REGISTERS];
  __u64 frames[LT_MAX_FRAMES];
  __u32 pages;    /* that follow this header */
  __u32 readable; /* a bit for each: untouched pages within large frames cannot be read */
};
LT_ASSERT_SIZE(struct oracle_stack, 1184);

#endif
