/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One counter for each cause of loss; user space adds the CPUs up. */
#ifndef LEAKTRACE_LOSSES_BPF_H
#define LEAKTRACE_LOSSES_BPF_H

#include "bpf/lib/common.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LT_LOSS_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} losses SEC(".maps") __weak;

/* The probes that ran, by LT_HIT_SLOT. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LT_HIT_SLOTS);
  __type(key, __u32);
  __type(value, struct lt_hits);
} probe_hits SEC(".maps") __weak;

/* Programs on uprobes can be preempted, so two may add to one CPU's counter: atomically. */
static __always_inline void count(void* map, __u32 index) {
  __u64* counter = bpf_map_lookup_elem(map, &index);
  if (counter) __sync_fetch_and_add(counter, 1);
}

static __always_inline void lose(enum lt_loss cause) {
  count(&losses, cause);
}

/* Counts a failed insertion: into a full table under `full`, else as the kernel's lack of memory.
 */
static __always_inline void lose_insertion(int error, enum lt_loss full) {
  lose(error == -ENOMEM ? LT_LOSS_KERNEL_MEMORY : full);
}

#endif
