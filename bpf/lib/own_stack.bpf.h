/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Keeps a program's variables on the stack of the task that runs it.
 *
 * Since 6.13 the kernel gives tracing programs a stack of each CPU instead (kernel/bpf/verifier.c,
 * bpf_enable_priv_stack). Programs on uprobes are preemptible, so where the kernel itself is
 * preemptible two tasks on one CPU then share that stack: without this, keys and hashes of one
 * thread end up in another's (seen on Debian's 7.2, where EngineTest.StacksSurvivePreemption
 * failed). A program that contains a tail call is not given one (the same file,
 * check_max_stack_depth), and one that is never executed is enough.
 */
#ifndef LEAKTRACE_OWN_STACK_BPF_H
#define LEAKTRACE_OWN_STACK_BPF_H

#include "bpf/lib/common.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} no_programs SEC(".maps") __weak;

/* The programs of one such map must all be attached in the same way (bpf_prog_map_compatible), and
 * a session is a way of its own. */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} no_sessions SEC(".maps") __weak;

/* Always 0, which the compiler does not know; the verifier does, and leaves the call out. */
static const volatile __u32 calls_on = 0;

/* To be inlined into the program itself. */
static __always_inline void keep_own_stack(void* ctx) {
  if (calls_on) bpf_tail_call(ctx, &no_programs, 0);
}
static __always_inline void keep_own_stack_in_session(void* ctx) {
  if (calls_on) bpf_tail_call(ctx, &no_sessions, 0);
}

#endif
