/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Return addresses that uretprobes replaced: the kernel makes a probed function return to a page of
 * its own (the trampoline) and keeps where it came from in a list of the task.
 *
 * Needs vmlinux.h, bpf_helpers.h and bpf_core_read.h.
 */
#ifndef LEAKTRACE_UNWIND_RETURN_BPF_H
#define LEAKTRACE_UNWIND_RETURN_BPF_H

#include "bpf/lib/unwind_scratch.bpf.h"

/* The kernel nests no more return probes on one thread (MAX_URETPROBE_DEPTH). */
#define LT_UNWIND_RETURN_PROBES 64

/* The kernel's own structures, as far as they are needed; offsets come from the running kernel. */
struct return_instance___lt {
  unsigned long stack;
  unsigned long orig_ret_vaddr;
  struct return_instance___lt* next;
} __attribute__((preserve_access_index));

struct uprobe_task___lt {
  struct return_instance___lt* return_instances;
} __attribute__((preserve_access_index));

struct xol_area___lt {
  unsigned long vaddr;
} __attribute__((preserve_access_index));

struct uprobes_state___lt {
  struct xol_area___lt* xol_area;
} __attribute__((preserve_access_index));

struct mm_struct___lt {
  struct uprobes_state___lt uprobes_state;
} __attribute__((preserve_access_index));

struct task_struct___lt {
  struct mm_struct___lt* mm;
  struct uprobe_task___lt* utask;
} __attribute__((preserve_access_index));

/* Where every uretprobe of this process returns to, or 0. */
static __always_inline __u64 lt_unwind_trampoline(void) {
  if (!bpf_core_field_exists(struct xol_area___lt, vaddr) ||
      !bpf_core_field_exists(struct uprobes_state___lt, xol_area) ||
      !bpf_core_field_exists(struct uprobe_task___lt, return_instances))
    return 0;
  /* The verifier knows these types: plain loads, which read 0 where a pointer is bad. */
  struct task_struct___lt* task = (void*)bpf_get_current_task_btf();
  struct mm_struct___lt* mm = task->mm;
  if (!mm) return 0;
  struct xol_area___lt* area = mm->uprobes_state.xol_area;
  return area ? area->vaddr : 0;
}

/*
 * The return address that the kernel replaced in the stack's word at `slot`, or 0. The kernel's
 * list goes from inner calls to outer ones, as unwinding does, so a search goes on where the last
 * one ended.
 */
__weak __noinline __u64 lt_unwind_original_return(struct lt_unwind_scratch* scratch, __u64 slot) {
  if (!scratch) return 0;
  if (!bpf_core_field_exists(struct return_instance___lt, orig_ret_vaddr) ||
      !bpf_core_field_exists(struct return_instance___lt, stack) ||
      !bpf_core_field_exists(struct return_instance___lt, next))
    return 0;
  struct return_instance___lt* instance = (void*)scratch->return_instance;
  if (!instance) {
    struct task_struct___lt* task = (void*)bpf_get_current_task_btf();
    instance = BPF_CORE_READ(task, utask, return_instances);
  }
  for (int i = 0; i < LT_UNWIND_RETURN_PROBES && instance; i++) {
    if (BPF_CORE_READ(instance, stack) == slot) {
      scratch->return_instance = (__u64)instance;
      return BPF_CORE_READ(instance, orig_ret_vaddr);
    }
    instance = BPF_CORE_READ(instance, next);
  }
  return 0;
}

/* The return address at a place on the stack: also where another tracer's return probe has put the
 * kernel's trampoline in its place. */
static __always_inline __u64 lt_unwind_return_address(struct lt_unwind_scratch* scratch,
                                                      __u64 slot) {
  __u64 address = 0;
  bpf_probe_read_user(&address, sizeof(address), (void*)slot);
  if (!address || address != lt_unwind_trampoline()) return address;
  scratch->return_instance = 0;
  __u64 original = lt_unwind_original_return(scratch, slot);
  return original ? original : address;
}

#endif
