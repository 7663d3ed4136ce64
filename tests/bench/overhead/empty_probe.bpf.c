/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The cost of a probe that does nothing: what no tracer can go below. */
#include "vmlinux.h"
/* vmlinux.h first */
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe")
int empty_enter(void* ctx) {
  return 0;
}

SEC("uretprobe")
int empty_exit(void* ctx) {
  return 0;
}
