// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Counts the hits of probes by cookie, and adds up what they find in the registers of arguments
 * and in the stack pointer: two probes of one function must find the same.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "tests/bpf/sites/site_counter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct site_hits hits[SITE_COUNTER_PROBES];

static struct site_hits* hits_of(__u64 cookie) {
  return &hits[cookie & (SITE_COUNTER_PROBES - 1)];
}

SEC("uprobe")
int count_hit(struct pt_regs* ctx) {
  __u64 cookie = bpf_get_attach_cookie(ctx);
  struct site_hits* at = hits_of(cookie);
  __sync_fetch_and_add(&at->count, 1);
  __sync_fetch_and_add(&at->argument[0], PT_REGS_PARM1(ctx));
  __sync_fetch_and_add(&at->argument[1], PT_REGS_PARM2(ctx));
  __sync_fetch_and_add(&at->argument[2], PT_REGS_PARM3(ctx));
  __sync_fetch_and_add(&at->argument[3], PT_REGS_PARM4(ctx));
  __sync_fetch_and_add(&at->stack_pointer, PT_REGS_SP(ctx) + (cookie >> 32));
  return 0;
}

SEC("uprobe")
int count_return(struct pt_regs* ctx) {
  __sync_fetch_and_add(&hits_of(bpf_get_attach_cookie(ctx))->count, 1);
  return 0;
}
