/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs that do nothing: what no tracer on uprobes can go below. */
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

/* On entry and on return. */
SEC("uprobe")
int empty_call(void* ctx) {
  return 0;
}

/* A session's entry that returns 1 has no return. */
SEC("uprobe")
int empty_skipped_call(void* ctx) {
  return 1;
}
