/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Process ids as leaktrace knows them.
 *
 * The kernel's own numbers (task->pid, task->tgid, bpf_get_current_pid_tgid) are those of the
 * initial pid namespace. leaktrace may run in another one, as in most containers, where /proc,
 * wait, kill and the pid filters of probes take that namespace's numbers. So every id that leaves
 * or enters BPF is one of leaktrace's namespace. A task outside of it and of the namespaces within
 * it has no such number: its id is 0, which no table has.
 */
#ifndef LEAKTRACE_PIDS_BPF_H
#define LEAKTRACE_PIDS_BPF_H

#include "bpf/lib/common.bpf.h"

/* leaktrace's namespace, set before loading (user/tracer/pid_namespace.h): how many levels below
 * the initial one, and the inode of /proc/self/ns/pid. At level 0 the verifier leaves all
 * translation out. */
extern const volatile __u32 own_pid_level;
extern const volatile __u32 own_pid_namespace;

/* A struct pid has a number for each namespace from the initial one down to its own
 * (include/linux/pid.h). By offsets, because the array's length in BTF is 0 or 1 by version. */
static __always_inline const struct upid* number_at(const struct pid* pid, __u32 level) {
  return (const void*)pid + bpf_core_field_offset(struct pid, numbers) +
         level * bpf_core_type_size(struct upid);
}

static __always_inline __u32 namespace_of(const struct upid* number) {
  return BPF_CORE_READ(number, ns, ns.inum);
}

static __always_inline __u32 own_number(const struct pid* pid) {
  if (BPF_CORE_READ(pid, level) < own_pid_level) return 0; /* it has none there */
  const struct upid* number = number_at(pid, own_pid_level);
  if (namespace_of(number) != own_pid_namespace) return 0;
  return BPF_CORE_READ(number, nr);
}

/* The process that a task belongs to; `task` is one that the verifier knows. */
static __always_inline __u32 tgid_of(const struct task_struct* task) {
  if (!own_pid_level) return task->tgid;
  return own_number(BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
}

static __noinline __u64 translated_pid_tgid(void) {
  const struct task_struct* task = bpf_get_current_task_btf();
  __u64 tgid = tgid_of(task);
  return tgid << 32 | own_number(BPF_CORE_READ(task, thread_pid));
}

/* As bpf_get_current_pid_tgid(): the process in the upper half, the thread in the lower. */
static __always_inline __u64 current_pid_tgid(void) {
  return own_pid_level ? translated_pid_tgid() : bpf_get_current_pid_tgid();
}

static __always_inline __u32 current_tgid(void) {
  return current_pid_tgid() >> 32;
}

#endif
