/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef LEAKTRACE_TRAMPOLINE_BPF_H
#define LEAKTRACE_TRAMPOLINE_BPF_H

#include "bpf/lib/common.bpf.h"

/* Where the kernel sends a function whose return is probed: the first bytes of the process's
 * [uprobes] page (kernel/events/uprobes.c, get_trampoline_vaddr). 0 when there is none yet. */
static __always_inline __u64 uprobe_trampoline(void) {
  struct task_struct* task = bpf_get_current_task_btf();
  struct xol_area* area = BPF_CORE_READ(task, mm, uprobes_state.xol_area);
  return area ? BPF_CORE_READ(area, vaddr) : 0;
}

#endif
