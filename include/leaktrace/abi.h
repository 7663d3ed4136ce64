/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The contract between the BPF programs and user space: every structure that both sides read, with
 * its layout asserted in both compilers. Valid C (clang -target bpf) and C++.
 *
 * Times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns). Sizes are bytes.
 */
#ifndef LEAKTRACE_ABI_H
#define LEAKTRACE_ABI_H

#ifdef __bpf__
/* The includer brings vmlinux.h, which has the kernel's own types. */
#define LT_STATIC_ASSERT _Static_assert
#else
#include <linux/types.h>
#ifdef __cplusplus
#define LT_STATIC_ASSERT static_assert
#else
#define LT_STATIC_ASSERT _Static_assert
#endif
#endif

#define LT_ASSERT_SIZE(type, bytes) \
  LT_STATIC_ASSERT(sizeof(type) == (bytes), "size of " #type " changed")

/* What a resource is. A number is never reused: recordings keep it. */
enum lt_kind {
  LT_KIND_NONE = 0,
  LT_KIND_HEAP = 1,
  LT_KIND_MMAP = 2,
  LT_KIND_COUNT = 3,
};

/* Pending calls of one thread are kept one a kind; a power of two above every kind. */
#define LT_KIND_SLOTS 4
LT_STATIC_ASSERT(LT_KIND_COUNT <= LT_KIND_SLOTS, "LT_KIND_SLOTS must hold every kind");

#define LT_MAX_FRAMES 127
#define LT_STACK_WORDS 256 /* native frames, then those of an interpreter: a power of two */
#define LT_MAX_ROWS 256
#define LT_MAX_ARGUMENTS 6

/* ---- Catalog rows ------------------------------------------------------------------------- */

enum lt_operation {
  LT_OP_ACQUIRE = 1, /* a call that returns a new handle */
  LT_OP_RELEASE = 2, /* a call that gives a handle back */
  LT_OP_REPLACE = 3, /* a call that gives one back and returns another (realloc, mremap) */
};

/* Where a value is found. Arguments count from 0. */
enum lt_source {
  LT_FROM_NOTHING = 0,
  LT_FROM_RETURN = 1,
  LT_FROM_ARGUMENT = 2,
  LT_FROM_POINTEE = 3, /* what the argument points to, read when the call returns */
  LT_FROM_PRODUCT = 4, /* the argument times the one named in `second` */
};

/* When a call counts as a success. */
enum lt_success {
  LT_SUCCESS_ALWAYS = 0,
  LT_SUCCESS_NONNULL = 1,   /* returned something but NULL (malloc) */
  LT_SUCCESS_ZERO = 2,      /* returned 0 as an int (posix_memalign, munmap) */
  LT_SUCCESS_NOT_FAILED = 3 /* returned something but MAP_FAILED (mmap, mremap) */
};

/* How handles of a row's kind are kept. */
enum lt_extent {
  LT_EXTENT_POINT = 0, /* a handle is released whole: kept in live_resources */
  LT_EXTENT_RANGE = 1, /* parts can be released: kept by user space, from ring events */
};

struct lt_value_source {
  __u8 source; /* enum lt_source */
  __u8 argument;
  __u8 second;
  __u8 reserved;
};

/* One hooked function, as data. The attach cookie of a probe is the index of its row. */
struct lt_row {
  __u8 operation;                    /* enum lt_operation */
  __u8 kind;                         /* enum lt_kind */
  __u8 success;                      /* enum lt_success */
  __u8 extent;                       /* enum lt_extent */
  struct lt_value_source handle;     /* what is acquired */
  struct lt_value_source weight;     /* its size in bytes */
  struct lt_value_source old_handle; /* what is released or replaced */
  struct lt_value_source old_weight; /* how much of it (ranges) */
  struct lt_value_source flags;      /* mmap's and mremap's flags */
};
LT_ASSERT_SIZE(struct lt_row, 24);

/* ---- Processes ---------------------------------------------------------------------------- */

enum lt_process_flags {
  LT_PROCESS_FOLLOW = 1 << 0,       /* trace the children too */
  LT_PROCESS_STOP_AT_EXEC = 1 << 1, /* a program that `run` started: see LT_PROCESS_STARTING */
  LT_PROCESS_FORKED = 1 << 2,       /* began as a copy: what it releases may be the parent's */
  LT_PROCESS_SHARED = 1 << 3,       /* shares its parent's address space (vfork), and its image */
  LT_PROCESS_STOP_ONCE = 1 << 5,    /* a child of such a program: stopped at exec only */
  LT_PROCESS_STARTING = 1 << 4,     /* between exec and the entry point: stopped at every mapping of
                                       code, until user space has attached and sends SIGCONT */
};

/*
 * An image is one address space of one process: exec and fork make a new one. Resources are keyed
 * by image and not by pid, so exec clears an address space and a pid can be used again.
 */
struct lt_process {
  __u32 image;
  __u32 flags;
  __u32 unloads; /* libraries were closed so often: their addresses are others' then */
  __u32 reserved;
};
LT_ASSERT_SIZE(struct lt_process, 16);

/* ---- What is live, and the counters of each call site ------------------------------------ */

struct lt_resource_key {
  __u64 handle;
  __u32 image;
  __u32 kind;
};
LT_ASSERT_SIZE(struct lt_resource_key, 16);

struct lt_resource {
  __u64 stack_id;
  __u64 weight;
  __u64 acquired_ns;
};
LT_ASSERT_SIZE(struct lt_resource, 24);

struct lt_site_key {
  __u64 stack_id;
  __u32 image;
  __u32 kind;
};
LT_ASSERT_SIZE(struct lt_site_key, 16);

struct lt_site_counters {
  __u64 acquired_count;
  __u64 acquired_bytes;
  __u64 released_count;
  __u64 released_bytes;
  __u64 since_ns; /* when outstanding last left zero: no block of the site is older */
};
LT_ASSERT_SIZE(struct lt_site_counters, 40);

/* The stack id of resources whose stack found no room in the table of stacks. */
#define LT_STACK_ID_NONE 0ULL
/* What user space keeps the totals of recycled stacks under; no stack has this id. */
#define LT_STACK_ID_RECYCLED 1ULL
#define LT_STACK_ID_FIRST 2ULL

/*
 * A stack has two places in the tables: its id, and its id with this bit. The second is used while
 * user space removes the first (retiring_stacks), so that no program holds on to what is removed.
 * Both are one stack.
 */
#define LT_STACK_SECOND_PLACE (1ULL << 63)

/* The value of a stack's entry in retiring_stacks: one word, so that a program that reads it while
 * it is overwritten sees another stack's and no mixture. */
#define LT_RETIRING_MARK(id, check) ((id) ^ (check))

enum lt_stack_flags {
  LT_STACK_COMPLETE = 0,   /* reached the end of the stack */
  LT_STACK_NO_ROW = 1,     /* no unwind information, and the frame pointer leads nowhere */
  LT_STACK_UNREADABLE = 2, /* the stack could not be read */
  LT_STACK_DEPTH = 3,      /* deeper than LT_MAX_FRAMES */
  LT_STACK_NO_MAPPING = 4, /* the pc is in no known mapping of code */
  LT_STACK_RULE = 5,       /* an unwind rule that the tracer does not do */
  LT_STACK_REASONS = 6,
};

struct lt_stack_seen {
  __u32 check;
  __u16 frames;
  __u16 reason; /* enum lt_stack_flags */
};
LT_ASSERT_SIZE(struct lt_stack_seen, 8);

/* ---- Losses: one counter a cause, never one for two ---------------------------------------- */

enum lt_loss {
  LT_LOSS_LIVE_TABLE_FULL = 0,
  LT_LOSS_SITE_TABLE_FULL = 1,
  LT_LOSS_STACK_TABLE_FULL = 2,
  LT_LOSS_THREAD_TABLE_FULL = 3,
  LT_LOSS_STACK_TRUNCATED = 4, /* distinct stacks cut, not calls */
  LT_LOSS_STACK_COLLISION = 5, /* two stacks, one 64-bit id; told apart by a second hash */
  LT_LOSS_RING_OVERFLOW = 6,
  LT_LOSS_MISSED_RELEASE = 7,
  LT_LOSS_UNMATCHED_RELEASE = 8,
  LT_LOSS_READ_FAULT = 9,
  LT_LOSS_ABANDONED_CALL = 10, /* a call that was left by longjmp or an exception */
  LT_LOSS_KERNEL_MEMORY = 11,  /* the kernel had no memory for a table entry at that moment */
  LT_LOSS_PROCESS_TABLE_FULL = 12,
  LT_LOSS_COUNT = 13,
};

/* ---- Ring events --------------------------------------------------------------------------- */

enum lt_event_type {
  LT_EVENT_STACK = 1,
  LT_EVENT_RANGE_ACQUIRED = 2,
  LT_EVENT_RANGE_TAKEN = 3,    /* a release is about to happen; withdrawn when the call fails */
  LT_EVENT_RANGE_RESTORED = 4, /* the call failed: what this thread took is back */
  LT_EVENT_PROCESS_FORK = 5,
  LT_EVENT_PROCESS_EXEC = 6,
  LT_EVENT_PROCESS_EXIT = 7,
  LT_EVENT_CODE_MAPPED = 8,   /* code was mapped: rescan the process's mappings */
  LT_EVENT_ENTRY_REACHED = 9, /* the program's entry point was reached: start-up is over */
  LT_EVENT_PYTHON_CODE = 10,  /* see python_abi.h */
};

struct lt_event_header {
  __u32 type; /* enum lt_event_type */
  __u32 tgid;
  __u32 image;
  __u32 tid;
  __u64 time_ns;
};
LT_ASSERT_SIZE(struct lt_event_header, 24);

/* Frames follow, innermost first: return addresses, so look up address - 1. Then those of Python
 * (python_abi.h). */
struct lt_event_stack {
  struct lt_event_header header;
  __u64 stack_id;
  __u16 frames;
  __u16 python_frames;
  __u16 reason;           /* enum lt_stack_flags */
  __u16 by_frame_pointer; /* native frames whose caller no unwind information gave */
  __u64 word[];           /* an address a native frame, LT_PYTHON_FRAME_WORDS a Python frame */
};
LT_ASSERT_SIZE(struct lt_event_stack, 40);

enum lt_range_flags {
  LT_RANGE_NESTED = 1 << 0, /* inside a heap call: the allocator's own, not counted */
  LT_RANGE_FIXED = 1 << 1,  /* replaces what was there */
};

struct lt_event_range {
  struct lt_event_header header;
  __u64 address;
  __u64 length;
  __u64 stack_id;
  __u32 flags; /* enum lt_range_flags */
  __u32 reserved;
};
LT_ASSERT_SIZE(struct lt_event_range, 56);

struct lt_event_process {
  struct lt_event_header header; /* image: the new one (fork, exec), the ended one (exit) */
  __u32 other; /* fork: the parent's tgid; exec: the old image; exit: the wait status */
  __u32 flags; /* enum lt_process_flags */
};
LT_ASSERT_SIZE(struct lt_event_process, 32);

#endif /* LEAKTRACE_ABI_H */
