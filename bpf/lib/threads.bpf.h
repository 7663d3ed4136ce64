/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is known of a thread between two probes, and the programs' scratch memory.
 *
 * Programs on uprobes are preemptible (since about 6.0: bpf_prog_run_array_uprobe only disables
 * migration), so a per-CPU buffer may be overwritten by another task in the middle of a program. A
 * thread cannot run two probes at once, so memory of the thread's own needs no guard.
 */
#ifndef LEAKTRACE_THREADS_BPF_H
#define LEAKTRACE_THREADS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/unwind_scratch.bpf.h"
#include "leaktrace/python_abi.h"

/* The outermost call of one kind that a thread is in, from its entry probe to its return probe. */
struct lt_call {
  __u64 sp; /* at the function's first instruction */
  __u64 weight;
  __u64 pointer; /* where the handle will be (LT_FROM_POINTEE) */
  __u64 old_handle;
  __u64 old_weight;
  struct lt_resource old; /* taken out of live_resources until the call's outcome is known */
  __u32 row;
  __u32 flags; /* mmap's or mremap's */
  __u8 active;
  __u8 has_old;
  __u8 nested; /* inside a heap call: not counted */
  __u8 taken;  /* a range was announced as taken */
};

struct lt_stack_hash {
  __u64 id;
  __u64 check;
};

/* struct lt_event_stack without its flexible array, which cannot stand in a structure. */
struct lt_event_stack_head {
  __u8 bytes[sizeof(struct lt_event_stack)];
} __attribute__((aligned(8)));

struct lt_thread {
  struct lt_call calls[LT_KIND_SLOTS]; /* by kind */
  struct lt_registers registers;       /* where a walk begins */
  __u32 reason;                        /* enum lt_stack_flags: why it ended */
  __u32 native_frames;                 /* found by the walk */
  __u32 unloads;                       /* the process's, when the stack is taken */
  __u32 reserved;
  struct lt_stack_hash hash;        /* of the frames it found */
  struct lt_event_stack_head event; /* a stack event is built in place: this, then frames */
  __u64 frames[LT_STACK_WORDS];
  struct lt_unwind_scratch scratch;
  __u64 python_state;  /* the interpreter's PyThreadState of this thread, once found */
  __u64 python_states; /* where the list that it is in begins */
  __u64 python_frame[LT_PYTHON_FRAME_BYTES / 8];
  __u64 python_code[LT_PYTHON_CODE_WORDS];
  __u64 last_released; /* by this thread; 0 once it has acquired again */
};

/* By pid_tgid. Entries are made on a thread's first call and deleted when it exits. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u64);
  __type(value, struct lt_thread);
} threads SEC(".maps") __weak;

/* A zeroed thread to copy from: too large for the BPF stack. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_thread);
} new_thread SEC(".maps") __weak;

static __always_inline struct lt_thread* current_thread(void) {
  __u64 id = bpf_get_current_pid_tgid();
  return bpf_map_lookup_elem(&threads, &id);
}

/* The thread's entry, made if need be. Null is counted as a loss. */
static __always_inline struct lt_thread* current_thread_or_new(void) {
  struct lt_thread* thread = current_thread();
  if (thread) return thread;

  __u32 zero = 0;
  void* empty = bpf_map_lookup_elem(&new_thread, &zero);
  if (!empty) return NULL;
  __u64 id = bpf_get_current_pid_tgid();
  int error = bpf_map_update_elem(&threads, &id, empty, BPF_NOEXIST);
  if (error) {
    lose_insertion(error, LT_LOSS_THREAD_TABLE_FULL);
    return NULL;
  }
  return bpf_map_lookup_elem(&threads, &id);
}

static __always_inline struct lt_call* call_of(struct lt_thread* thread, __u32 kind) {
  __u32 slot = kind;
  lt_opaque(slot);
  return &thread->calls[slot & (LT_KIND_SLOTS - 1)];
}

#endif
