// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A program that no verifier accepts, to be linked to the engine's: leaktrace must say which it is
 * and why. */
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/rows.bpf.h"

/* What a look-up returns may be null. */
SEC("uprobe")
int refused_by_design(struct pt_regs* ctx) {
  return row_at(PT_REGS_PARM1(ctx))->kind;
}
