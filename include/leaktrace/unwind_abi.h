/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The contract of the stack unwinder: how user space lays out unwind information for the BPF side.
 *
 *   unwind_procs[tgid] ──▶ a slice of unwind_ranges, sorted by start
 *                               │ address of the module's code
 *                               ▼
 *                          unwind_pages[first_page + (address >> 16)]
 *                               │ shard and index of the page's first row
 *                               ▼
 *                          unwind_rows[shard][index …]   8 bytes a row, sorted by the low 16 bits
 *                               │ the few rows that 8 bytes cannot say
 *                               ▼
 *                          unwind_rules[index]
 *
 * The rows of one page lie in one shard, and every page begins with a row for its first byte, so a
 * search touches one page and one shard.
 */
#ifndef LEAKTRACE_UNWIND_ABI_H
#define LEAKTRACE_UNWIND_ABI_H

#include "leaktrace/abi.h"

#define LT_UNWIND_PAGE_SHIFT 16
#define LT_UNWIND_SHARD_SHIFT 16
#define LT_UNWIND_SHARD_ROWS (1 << LT_UNWIND_SHARD_SHIFT)

/*
 * A row holds from its address to the next row's:
 *
 *    63      48 47      32 31      16 15  12 11   8 7    4 3    0
 *   ┌──────────┬──────────┬──────────┬──────┬──────┬──────┬──────┐
 *   │ address  │ cfa / 8  │ slot / 8 │ cfa  │ fp   │ ra   │  0   │
 *   └──────────┴──────────┴──────────┴──────┴──────┴──────┴──────┘
 *
 * address: the low 16 bits. cfa: signed, added to the base register. slot: signed, added to the
 * CFA: where the frame pointer (or, see LT_UNWIND_RA_SLOT, the return address) is saved. With
 * LT_UNWIND_CFA_RULE bits 16..47 are the index in unwind_rules instead. No row is 0.
 */
/* Set by the search only: the code is in no file whose rows are loaded (JIT code), so that nothing
 * is known of how its stacks end. */
#define LT_UNWIND_ROW_UNKNOWN 1ULL

#define LT_UNWIND_ROW_ADDRESS(row) ((__u32)((row) >> 48))
#define LT_UNWIND_ROW_CFA_OFFSET(row) ((__s64)(__s16)((row) >> 32) * 8)
#define LT_UNWIND_ROW_SLOT_OFFSET(row) ((__s64)(__s16)((row) >> 16) * 8)
#define LT_UNWIND_ROW_RULE(row) ((__u32)((row) >> 16))
#define LT_UNWIND_ROW_CFA(row) ((__u32)((row) >> 12) & 15)
#define LT_UNWIND_ROW_FP(row) ((__u32)((row) >> 8) & 15)
#define LT_UNWIND_ROW_RA(row) ((__u32)((row) >> 4) & 15)

/* How the canonical frame address (the caller's stack pointer) is found. */
enum lt_unwind_cfa {
  LT_UNWIND_CFA_NONE = 1,        /* no unwind information: the frame pointer may lead on */
  LT_UNWIND_CFA_END = 2,         /* the outermost frame */
  LT_UNWIND_CFA_SP = 3,          /* stack pointer + offset */
  LT_UNWIND_CFA_FP = 4,          /* frame pointer + offset */
  LT_UNWIND_CFA_RULE = 5,        /* see unwind_rules */
  LT_UNWIND_CFA_UNSUPPORTED = 6, /* a rule that the tracer does not do */
  /* In rules only. */
  LT_UNWIND_CFA_AT_SP = 7, /* *(stack pointer + offset) + addend */
  LT_UNWIND_CFA_AT_FP = 8, /* *(frame pointer + offset) + addend */
  LT_UNWIND_CFA_PLT = 9,   /* stack pointer + offset, + 8 when (pc & 15) >= addend */
  /* Another register + offset. In interrupted code every register can be had: this one lies addend
   * bytes above the signal frame's stack pointer. In a caller only the extra register can. */
  LT_UNWIND_CFA_REGISTER = 10,
};

/* How the caller's frame pointer is found. */
enum lt_unwind_fp {
  LT_UNWIND_FP_SAME = 0, /* not touched yet */
  LT_UNWIND_FP_SLOT = 1, /* saved at CFA + slot */
  LT_UNWIND_FP_LOST = 2, /* cannot be known */
  /* In rules only. */
  LT_UNWIND_FP_AT_SP = 3, /* saved at stack pointer + offset */
  LT_UNWIND_FP_AT_FP = 4, /* saved at frame pointer + offset */
};

/* How the return address is found. */
enum lt_unwind_ra {
  LT_UNWIND_RA_BELOW_CFA = 0, /* saved at CFA - 8 (x86) */
  LT_UNWIND_RA_LINK = 1,      /* still in the link register (arm64) */
  LT_UNWIND_RA_AFTER_FP = 2,  /* saved at CFA + slot + 8, after the frame pointer (arm64) */
  LT_UNWIND_RA_SLOT = 3,      /* saved at CFA + slot; the frame pointer is not saved (arm64) */
  /* In rules only. */
  LT_UNWIND_RA_AT_CFA = 4, /* saved at CFA + offset */
  LT_UNWIND_RA_AT_SP = 5,  /* saved at stack pointer + offset */
  LT_UNWIND_RA_AT_FP = 6,  /* saved at frame pointer + offset */
};

enum lt_unwind_rule_flags {
  /* The frame of a signal handler's return: the caller was interrupted, not called, and may be on
   * another stack. */
  LT_UNWIND_SIGNAL = 1 << 0,
  LT_UNWIND_CFA_IS_EXTRA = 1 << 1, /* the register of LT_UNWIND_CFA_REGISTER is the extra one */
  LT_UNWIND_EXTRA_SAME = 1 << 2,   /* the frame leaves it as it was in its caller */
  /* The caller's is saved at CFA + offset; in a signal frame, at stack pointer + offset. */
  LT_UNWIND_EXTRA_SAVED = 1 << 3,
};

/*
 * One register is followed beside stack and frame pointer, as far as rules say where it is; past a
 * row it is not known. x86-64: rbx, which the dynamic linker's lazy binding addresses its frame by,
 * so in a file with such a frame all rows are rules. arm64: the link register of interrupted code.
 */

/* What does not fit a row. Offsets in bytes. */
struct lt_unwind_rule {
  __u8 cfa; /* enum lt_unwind_cfa */
  __u8 fp;  /* enum lt_unwind_fp */
  __u8 ra;  /* enum lt_unwind_ra */
  __u8 flags;
  __s32 cfa_offset;
  __s32 cfa_addend;
  __s32 fp_offset;
  __s32 ra_offset;
  __s32 extra_offset; /* see LT_UNWIND_EXTRA_SAVED */
};
LT_ASSERT_SIZE(struct lt_unwind_rule, 24);

struct lt_unwind_shard {
  __u64 row[LT_UNWIND_SHARD_ROWS];
};
LT_ASSERT_SIZE(struct lt_unwind_shard, 512 * 1024);

struct lt_unwind_page {
  __u32 first; /* shard << LT_UNWIND_SHARD_SHIFT | index of the first row in it */
  __u32 count; /* rows */
};
LT_ASSERT_SIZE(struct lt_unwind_page, 8);

/* One executable mapping of a process. */
struct lt_unwind_range {
  __u64 start;
  __u64 end;
  __u64 bias;       /* pc - bias: address counted from the module's first page */
  __u32 first_page; /* index in unwind_pages */
  __u32 pages;      /* 0: no unwind information, frame pointers only (JIT code) */
};
LT_ASSERT_SIZE(struct lt_unwind_range, 32);

struct lt_unwind_process {
  __u32 first; /* index in unwind_ranges */
  __u32 count;
  __u64 generation; /* differs from that of every other process and of every earlier layout */
};
LT_ASSERT_SIZE(struct lt_unwind_process, 16);

/* A set of the cache from (generation, pc) to row. check = row ^ key, so that a half-written or
 * overwritten way is a miss and never a wrong row. */
struct lt_unwind_cache_set {
  __u64 check[2];
  __u64 row[2];
};
LT_ASSERT_SIZE(struct lt_unwind_cache_set, 32);

#endif /* LEAKTRACE_UNWIND_ABI_H */
