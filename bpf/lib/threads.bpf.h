/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is known of a thread between two probes, and the programs' scratch memory. It hangs on the
 * task, where it is found without hashing anything.
 *
 * Programs on uprobes are preemptible (since about 6.0: bpf_prog_run_array_uprobe only disables
 * migration), so a per-CPU buffer may be overwritten by another task in the middle of a program. A
 * thread cannot run two probes at once, so memory of the thread's own needs no guard.
 */
#ifndef LEAKTRACE_THREADS_BPF_H
#define LEAKTRACE_THREADS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/pids.bpf.h"
#include "bpf/lib/processes.bpf.h"
#include "bpf/lib/rows.bpf.h"
#include "bpf/lib/unwind_scratch.bpf.h"
#include "leaktrace/pg_abi.h"
#include "leaktrace/python_abi.h"
#include "leaktrace/sampling.h"

/* The outermost call of one kind that a thread is in, from its entry probe to its return probe. */
struct lt_call {
  __u64 sp;             /* at the function's first instruction */
  __u64 return_address; /* what it held there; with own_returns only */
  __u64 weight;
  __u64 pointer; /* where the handle will be (LT_FROM_POINTEE); of PostgreSQL's, the connection */
  __u64 old_handle;
  __u64 old_weight;
  __u64 window;           /* of observation that it began in */
  struct lt_resource old; /* taken out of live_resources until the call's outcome is known */
  __u32 row;
  __u32 flags; /* mmap's or mremap's */
  __u8 active;
  __u8 has_old;
  __u8 nested;      /* inside a heap call: not counted */
  __u8 taken;       /* a range was announced as taken */
  __u8 chosen;      /* what it acquires is stored */
  __u8 step;        /* of the sampling interval */
  __u8 lasting;     /* its probes are never taken away */
  __u8 own_returns; /* LT_COOKIE_OWN_RETURNS */
};

struct lt_stack_hash {
  __u64 id;
  __u64 check;
};

/* struct lt_event_stack without its flexible array, which cannot stand in a structure. */
struct lt_event_stack_head {
  __u8 bytes[sizeof(struct lt_event_stack)];
} __attribute__((aligned(8)));

/* What a walk depended on, and the stack that it found: see bpf/lib/recall.bpf.h. */
#define LT_RECALLS 4
struct lt_recall {
  __u64 pc;
  __u64 sp;
  __u64 fp;
  __u64 stack_id;
  __u32 epoch;
  __u32 uses_fp;
  __u32 words;
  __u32 bytes; /* of the stack that hold them */
  __u64 word[LT_RECALL_WORDS];
  __u16 word_at[LT_RECALL_WORDS];
};

/* A command that is being sent to a PostgreSQL server: see bpf/lib/postgres.bpf.h. */
struct lt_pg_sending {
  __u64 connection;
  __u64 sql;
  __u64 name;
  __u64 stack_id;
  __u32 layout;
  __u32 sql_bytes; /* in the session's head, with the final 0 */
  __u32 ahead;
  __u32 reported_before;
  __u8 command;
  __u8 deferred; /* to be read and sent when libpq has read it, too */
  __u8 reserved[6];
};

/* With the kernel's own header (up to 128 bytes) at most 8 KiB: since 7.0 the kernel gives task
 * storage no more. */
struct lt_thread {
  __u32 epoch; /* state_epoch when these were looked up */
  __u32 image; /* of its process; 0: not traced */
  __u32 flags; /* enum lt_process_flags */
  __u32 unloads;
  __u32 hits;   /* of probes; wraps */
  __u32 reason; /* enum lt_stack_flags: why the walk ended */
  __u32 native_frames;
  __u32 tgid; /* in leaktrace's pid namespace */
  __u64 bytes_to_sample;
  __u64 sampling_interval;             /* that it was drawn for */
  __u64 last_released;                 /* by this thread; 0 once it has acquired again */
  struct lt_call calls[LT_KIND_SLOTS]; /* by kind */
  /* What the programs work on, here because the calls of a program share 512 bytes of stack. */
  struct lt_arguments arguments;
  struct lt_resource_key key;          /* of what is acquired or released */
  struct lt_resource resource;         /* that resource */
  struct lt_site_key site;             /* where it was acquired */
  struct lt_sampling_weight weight;    /* what it stands for */
  __u64 pg_read[LT_PG_NAME_BYTES / 8]; /* from an object of libpq, or a name */
  struct lt_pg_sending pg_sending;
  struct lt_registers registers;    /* where a walk begins */
  struct lt_stack_hash hash;        /* of the frames it found */
  struct lt_event_stack_head event; /* a stack event is built in place: this, then frames */
  __u64 frames[LT_STACK_WORDS];
  struct lt_unwind_scratch scratch;
  __u64 python_state;  /* the interpreter's PyThreadState of this thread, once found */
  __u64 python_states; /* where the list that it is in begins */
  __u64 python_frame[LT_PYTHON_FRAME_BYTES / 8];
  __u64 python_code[LT_PYTHON_CODE_WORDS];
  struct lt_recall recalls[LT_RECALLS];
};
_Static_assert(sizeof(struct lt_thread) <= 8192 - 128, "too large for task storage");

/* Made on a thread's first call; the kernel frees it with the task. */
struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct lt_thread);
} threads SEC(".maps") __weak;

extern const volatile __u64 max_threads;
extern __u64 known_threads; /* that have an entry */

static __always_inline struct lt_thread* thread_of(struct task_struct* task) {
  return bpf_task_storage_get(&threads, task, NULL, 0);
}

/* Makes the current thread's entry. Null is counted as a loss. */
static __always_inline struct lt_thread* new_thread(void) {
  if (__sync_fetch_and_add(&known_threads, 1) >= max_threads) {
    __sync_fetch_and_add(&known_threads, -1);
    lose(LT_LOSS_THREAD_TABLE_FULL);
    return NULL;
  }
  struct lt_thread* thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL,
                                                  BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!thread) {
    __sync_fetch_and_add(&known_threads, -1);
    lose(LT_LOSS_KERNEL_MEMORY);
    return NULL;
  }
  thread->tgid = current_tgid();
  return thread;
}

/* The same, found or made. */
static __always_inline struct lt_thread* thread_or_new(void) {
  struct lt_thread* thread = thread_of(bpf_get_current_task_btf());
  return thread ? thread : new_thread();
}

/* The thread is gone, or its program. */
static __always_inline void forget_thread(struct task_struct* task) {
  if (!bpf_task_storage_delete(&threads, task)) __sync_fetch_and_add(&known_threads, -1);
}

/*
 * The current thread when its process is traced, else null. What is known of the process is looked
 * up once and again when `state_epoch` says that something has changed. With `make`, a thread that
 * is not known yet gets its entry.
 */
static __always_inline struct lt_thread* traced_thread(int make) {
  struct lt_thread* thread = thread_of(bpf_get_current_task_btf());
  __u32 epoch = state_epoch;
  if (thread && thread->epoch == epoch) return thread->image ? thread : NULL;
  const struct lt_process* process = current_process();
  if (!thread) {
    if (!process || !make) return NULL;
    thread = new_thread();
    if (!thread) return NULL;
  }
  thread->image = process ? process->image : 0;
  thread->flags = process ? process->flags : 0;
  thread->unloads = process ? process->unloads : 0;
  thread->epoch = epoch;
  return process ? thread : NULL;
}

static __always_inline struct lt_call* call_of(struct lt_thread* thread, __u32 kind) {
  __u32 slot = kind;
  lt_opaque(slot);
  return &thread->calls[slot & (LT_KIND_SLOTS - 1)];
}

#endif
