// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * One small program for each thing that leaktrace needs of the kernel. User space loads them one
 * by one, attaches each to a function of its own process, calls the function and looks whether the
 * program saw the call (user/tracer/feature_probes.cpp).
 *
 * A call is told from those of other processes of the same executable by a random number that it
 * passes and returns: process ids do not serve, for in a pid namespace the kernel's are not ours.
 */
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/pids.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 nonce = 0;

__u64 hits;
__u64 seen_cookie;
__u32 seen_tgid;

SEC("uprobe")
int count_entry(struct pt_regs* ctx) {
  if (PT_REGS_PARM1(ctx) != nonce) return 0;
  seen_tgid = bpf_get_current_pid_tgid() >> 32;
  __sync_fetch_and_add(&hits, 1);
  return 0;
}

SEC("uprobe")
int count_return(struct pt_regs* ctx) {
  if (PT_REGS_RC(ctx) == nonce) __sync_fetch_and_add(&hits, 1);
  return 0;
}

/* A session runs its program at entry and at return, told apart as bpf/engine.bpf.c does. */
SEC("uprobe")
int count_both(struct pt_regs* ctx) {
  __u64 given = PT_REGS_PARM1(ctx), returned = PT_REGS_RC(ctx);
  asm volatile(""
               : "+r"(given), "+r"(returned)); /* else the context is read at a variable offset */
  if (bpf_get_func_ip(ctx) == PT_REGS_IP(ctx)) returned = given;
  if (returned == nonce) __sync_fetch_and_add(&hits, 1);
  return 0;
}

SEC("uprobe")
int read_cookie(struct pt_regs* ctx) {
  if (PT_REGS_PARM1(ctx) != nonce) return 0;
  seen_cookie = bpf_get_attach_cookie(ctx);
  __sync_fetch_and_add(&hits, 1);
  return 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} probe_events SEC(".maps");

SEC("uprobe")
int send_event(struct pt_regs* ctx) {
  __u64 value = nonce;
  if (PT_REGS_PARM1(ctx) == nonce && !bpf_ringbuf_output(&probe_events, &value, sizeof(value), 0))
    __sync_fetch_and_add(&hits, 1);
  return 0;
}

/*
 * Not on the stack of run_loop: before 6.7 (ab5cfac139ab "bpf: verify callbacks as if they are
 * called unknown number of times") the verifier takes what the caller had put there for unchanged,
 * and drops the branches that look dead to it.
 */
__u64 rounds;

static long count_round(__u32 round, void* context) {
  rounds++;
  return 0;
}

SEC("uprobe")
int run_loop(struct pt_regs* ctx) {
  if (PT_REGS_PARM1(ctx) != nonce) return 0;
  rounds = 0;
  bpf_loop(127, count_round, NULL, 0);
  if (rounds == 127) __sync_fetch_and_add(&hits, 1);
  return 0;
}

/* The pid namespace of the process that runs this program (BPF_PROG_TEST_RUN): user space cannot
 * see how deep it is. */
__u32 seen_level;
__u32 seen_namespace;
__u32 seen_tid;

SEC("raw_tp")
int see_pid_namespace(void* ctx) {
  const struct task_struct* task = bpf_get_current_task_btf();
  const struct pid* pid = BPF_CORE_READ(task, thread_pid);
  seen_level = BPF_CORE_READ(pid, level);
  const struct upid* number = number_at(pid, seen_level);
  seen_namespace = namespace_of(number);
  seen_tid = BPF_CORE_READ(number, nr);
  return 0;
}

/* The child that user space sacrifices: forked from own_tgid, held at exec, killed. */
pid_t own_tgid;
pid_t child_tgid;
__u64 forks;
__u64 execs;
__u64 exits;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(see_fork, struct task_struct* parent, struct task_struct* child) {
  if (parent->tgid != own_tgid || child->tgid == own_tgid) return 0;
  child_tgid = child->tgid;
  __sync_fetch_and_add(&forks, 1);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(see_exec, struct task_struct* task) {
  if (child_tgid && task->tgid == child_tgid) __sync_fetch_and_add(&execs, 1);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(see_exit, struct task_struct* task) {
  if (child_tgid && task->tgid == child_tgid) __sync_fetch_and_add(&exits, 1);
  return 0;
}
