/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef LEAKTRACE_PROCESSES_BPF_H
#define LEAKTRACE_PROCESSES_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/pids.bpf.h"

/* The traced processes by pid (tgid) in leaktrace's pid namespace; user space adds the first, fork
 * and exec the rest. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, struct lt_process);
} processes SEC(".maps") __weak;

/* Moves on with every change of what threads remember of their process, by user space too. */
extern volatile __u32 state_epoch;

static __always_inline void change_state(void) {
  __sync_fetch_and_add(&state_epoch, 1);
}

static __always_inline struct lt_process* current_process(void) {
  __u32 tgid = current_tgid();
  return bpf_map_lookup_elem(&processes, &tgid);
}

#endif
