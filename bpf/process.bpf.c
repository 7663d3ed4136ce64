/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Follows traced processes through fork, exec and exit, and tells user space when code is mapped.
 *
 * A program that `run` starts is held by user space, by ptrace, at exec and after each mapping of
 * code until its entry point is reached, so that probes are in place before any of that code has
 * run. Its children, when they are followed, are held at exec only: the libraries that they share
 * with it are probed already. bpf/lib/hold.bpf.h has what the kernel side does for it.
 */
#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/hold.bpf.h"
#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/pids.bpf.h"
#include "bpf/lib/processes.bpf.h"
#include "bpf/lib/python.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "leaktrace/unwind_abi.h"

/* Defined by the unwinder (bpf/lib/unwind.bpf.h), in the engine's other source. */
typedef struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, struct lt_unwind_process);
} unwind_procs_map;
extern unwind_procs_map unwind_procs SEC(".maps");

/* Images that the kernel side numbers; user space numbers from 1. */
__u32 last_image = 1u << 31;

static __always_inline __u32 next_image(void) {
  return __sync_fetch_and_add(&last_image, 1);
}

/* A child begins with its parent's mappings. Until user space has heard of it, its stacks are
 * unwound by what is known of the parent's; a child of vfork often is not there for longer. */
static __always_inline void share_mappings(__u32 parent_tgid, __u32 child_tgid) {
  struct lt_unwind_process* known = bpf_map_lookup_elem(&unwind_procs, &parent_tgid);
  if (!known) return;
  struct lt_unwind_process copy = *known;
  /* User space may have been first, and knows better. No room: its stacks are cut, and counted. */
  bpf_map_update_elem(&unwind_procs, &child_tgid, &copy, BPF_NOEXIST);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(follow_fork, struct task_struct* parent, struct task_struct* child) {
  if (parent->tgid == child->tgid) return 0; /* a thread */
  __u32 parent_tgid = tgid_of(parent);
  struct lt_process* process = bpf_map_lookup_elem(&processes, &parent_tgid);
  if (!process || !(process->flags & LT_PROCESS_FOLLOW)) return 0;

  __u32 child_tgid = tgid_of(child);
  struct lt_process copy = {.flags =
                                LT_PROCESS_FOLLOW | (process->flags & LT_PROCESS_NO_TRAMPOLINES)};
  if (process->flags & (LT_PROCESS_HOLD_TO_ENTRY | LT_PROCESS_HOLD_AT_EXEC))
    copy.flags |= LT_PROCESS_HOLD_AT_EXEC;
  if (child->mm == parent->mm) { /* vfork: one address space until the child execs */
    copy.image = process->image;
    copy.unloads = process->unloads;
    copy.flags |= LT_PROCESS_SHARED;
  } else {
    copy.image = next_image();
    copy.flags |= LT_PROCESS_FORKED;
  }
  int error = bpf_map_update_elem(&processes, &child_tgid, &copy, BPF_ANY);
  if (error) {
    lose_insertion(error, LT_LOSS_PROCESS_TABLE_FULL);
    return 0;
  }
  share_mappings(parent_tgid, child_tgid);
  if (copy.image != process->image) inherit_python(process->image, copy.image);
  send_process(LT_EVENT_PROCESS_FORK, child_tgid, copy.image, parent_tgid, copy.flags);
  return 0;
}

/* What the kernel side itself has copied for a child goes here: user space may never have heard of
 * it, and the next process with this number must not find it. */
static __always_inline void forget_code(__u32 tgid, const struct lt_process* process) {
  bpf_map_delete_elem(&unwind_procs, &tgid);
  if (process->flags & LT_PROCESS_SHARED) return; /* the image is the parent's, which goes on */
  __u32 image = process->image;
  bpf_map_delete_elem(&pythons, &image);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(follow_exec, struct task_struct* task, pid_t old_pid) {
  struct lt_process* process = current_process();
  if (!process) return 0;
  __u32 tgid = current_tgid();
  forget_thread(task);        /* no call of the old image returns */
  forget_code(tgid, process); /* nor is anything mapped where it was */

  __u32 old_image = process->image;
  __u32 old_flags = process->flags;
  process->flags &= ~(LT_PROCESS_FORKED | LT_PROCESS_SHARED | LT_PROCESS_NO_TRAMPOLINES |
                      LT_PROCESS_STARTING | LT_PROCESS_LATE);
  if (old_flags & LT_PROCESS_HOLD_TO_ENTRY) process->flags |= LT_PROCESS_STARTING;
  process->image = next_image();
  int lost = send_process(LT_EVENT_PROCESS_EXEC, tgid, process->image, old_image, old_flags);
  if (!(old_flags & (LT_PROCESS_HOLD_TO_ENTRY | LT_PROCESS_HOLD_AT_EXEC))) return 0;
  if (lost || !await_hold(task)) process->flags |= LT_PROCESS_LATE;
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(follow_exit, struct task_struct* task) {
  __u32 tgid = current_tgid();
  forget_thread(task);
  struct lt_process* process = bpf_map_lookup_elem(&processes, &tgid);
  if (!process) return 0;
  /* do_exit() has counted this thread off already (kernel/exit.c). */
  if (BPF_CORE_READ(task, signal, live.counter) > 0) return 0;
  send_process(LT_EVENT_PROCESS_EXIT, tgid, process->image,
               BPF_CORE_READ(task, signal, group_exit_code) ?: task->exit_code, process->flags);
  forget_code(tgid, process);
  bpf_map_delete_elem(&processes, &tgid);
  return 0;
}

/*
 * On the dynamic loader's _dl_debug_state, which it calls for debuggers around each change of the
 * list of libraries (SVR4 r_brk; glibc elf/dl-debug.c). The cookie is the distance from there to
 * its struct r_debug (<link.h>), or 0. That says, before anything is unmapped, that a library is
 * being closed: what is mapped in its place has other stacks, from its first instruction on.
 */
#define LT_R_STATE 24
#define LT_RT_DELETE 2

SEC("uprobe")
int code_mapped(struct pt_regs* ctx) {
  keep_own_stack(ctx);
  struct lt_process* process = current_process();
  if (!process) return 0;
  __u64 distance = bpf_get_attach_cookie(ctx);
  __u32 state = 0;
  if (distance)
    bpf_probe_read_user(&state, sizeof(state), (void*)(PT_REGS_IP(ctx) + distance + LT_R_STATE));
  if (state == LT_RT_DELETE) {
    process->unloads++;
    change_state();
  }
  send_process(LT_EVENT_CODE_MAPPED, current_tgid(), process->image, 0, 0);
  return 0;
}

/* On the program's ELF entry point. */
SEC("uprobe")
int entry_reached(struct pt_regs* ctx) {
  keep_own_stack(ctx);
  struct lt_process* process = current_process();
  if (!process || !(process->flags & LT_PROCESS_STARTING)) return 0;
  process->flags &= ~LT_PROCESS_STARTING;
  send_process(LT_EVENT_ENTRY_REACHED, current_tgid(), process->image, 0, 0);
  return 0;
}
