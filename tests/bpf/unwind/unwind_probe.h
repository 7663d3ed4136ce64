/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* What the test's BPF object and the test share. */
#ifndef LEAKTRACE_TESTS_UNWIND_PROBE_H
#define LEAKTRACE_TESTS_UNWIND_PROBE_H

#include "leaktrace/abi.h"

enum emit_which {
  EMIT_NONE = 0,
  EMIT_ALL = 1,
  EMIT_INCOMPLETE = 2,
};

struct stack_event {
  __u32 tgid;
  __u32 tid;
  __u32 count;
  __u32 reason; /* enum lt_stack_flags */
  __u64 frames[LT_MAX_FRAMES];
};

#endif
