/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The catalog, as user space compiled it, and how a row's values are read from the registers. */
#ifndef LEAKTRACE_ROWS_BPF_H
#define LEAKTRACE_ROWS_BPF_H

#include "bpf/lib/common.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_RDONLY_PROG);
  __uint(max_entries, LT_MAX_ROWS);
  __type(key, __u32);
  __type(value, struct lt_row);
} catalog_rows SEC(".maps") __weak;

static __always_inline const struct lt_row* row_at(__u32 index) {
  return bpf_map_lookup_elem(&catalog_rows, &index);
}

/* The arguments in memory: the context itself cannot be indexed by a variable. */
struct lt_arguments {
  __u64 at[8];
};

static __always_inline void read_arguments(struct pt_regs* ctx, struct lt_arguments* arguments) {
  arguments->at[0] = PT_REGS_PARM1(ctx);
  arguments->at[1] = PT_REGS_PARM2(ctx);
  arguments->at[2] = PT_REGS_PARM3(ctx);
  arguments->at[3] = PT_REGS_PARM4(ctx);
  arguments->at[4] = PT_REGS_PARM5(ctx);
  arguments->at[5] = 0;
#ifdef PT_REGS_PARM6
  arguments->at[5] = PT_REGS_PARM6(ctx);
#endif
  arguments->at[6] = arguments->at[7] = 0;
}

static __always_inline __u64 argument(const struct lt_arguments* arguments, __u8 index) {
  __u64 i = index;
  lt_opaque(i);
  return arguments->at[i & 7];
}

/* A value that is known when the function is entered. A product that overflows is all ones: the
 * call fails (calloc, reallocarray), and no size filter lets it through. */
static __always_inline __u64 value_at_entry(const struct lt_arguments* arguments,
                                            const struct lt_value_source* from) {
  if (from->source == LT_FROM_NOTHING || from->source == LT_FROM_RETURN ||
      from->source == LT_FROM_PG_RESULT)
    return 0;
  __u64 value = argument(arguments, from->argument);
  if (from->source == LT_FROM_PRODUCT) {
    __u64 second = argument(arguments, from->second);
    __u64 most = second ? ~0ULL / second : ~0ULL;
    lt_opaque(most); /* else clang makes a 128-bit multiplication of it, which BPF has not */
    if (value > most) return ~0ULL;
    return value * second;
  }
  return value;
}

static __always_inline int succeeded(__u8 success, __u64 result) {
  switch (success) {
    case LT_SUCCESS_NONNULL:
      return result != 0;
    case LT_SUCCESS_ZERO:
      return (__u32)result == 0;
    case LT_SUCCESS_NOT_FAILED:
      return result != ~0ULL;
    case LT_SUCCESS_POSITIVE:
      return (__s32)result > 0;
    default:
      return 1;
  }
}

#endif
