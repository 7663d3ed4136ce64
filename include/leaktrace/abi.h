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
  LT_KIND_PG_CONNECTION = 3, /* a client's PGconn */
  LT_KIND_PG_RESULT = 4,     /* a PGresult */
  LT_KIND_PG_BUFFER = 5,     /* memory that libpq gave away */
  LT_KIND_PG_LARGE_OBJECT = 6,
  /* The others are known to user space only: it learns of them by events (pg_abi.h). */
  LT_KIND_PG_STATEMENT = 7,
  LT_KIND_PG_CURSOR = 8,
  LT_KIND_PG_COPY = 9, /* COPY, pipeline and row by row modes, until they are left */
  LT_KIND_COUNT = 10,
};

/* Is a kind of PostgreSQL's? These are never sampled. */
#define LT_KIND_IS_PG(kind) ((kind) >= LT_KIND_PG_CONNECTION)
/* Do the probes of a kind stay when others are taken away for a time? Where connections are opened
 * and closed is cheap to know, and all else hangs on them. */
#define LT_KIND_IS_LASTING(kind) ((kind) == LT_KIND_PG_CONNECTION)

/* Which probes are about to go: what they acquired might be released where nobody sees it. */
enum lt_closing {
  LT_CLOSING_NONE = 0,
  LT_CLOSING_WINDOW = 1, /* all but the lasting ones, for a time */
  LT_CLOSING_TRACE = 2,
};

/* Pending calls of one thread are kept one a kind, for the kinds that have any (a command that is
 * sent to a server is kept as LT_KIND_PG_STATEMENT); a power of two. */
#define LT_KIND_SLOTS 8
LT_STATIC_ASSERT(LT_KIND_PG_STATEMENT < LT_KIND_SLOTS, "LT_KIND_SLOTS must hold these kinds");

#define LT_MAX_FRAMES 127
#define LT_STACK_WORDS 256 /* native frames, then those of an interpreter: a power of two */
#define LT_MAX_ROWS 256
#define LT_MAX_ARGUMENTS 6

/* ---- Catalog rows ------------------------------------------------------------------------- */

enum lt_operation {
  LT_OP_ACQUIRE = 1, /* a call that returns a new handle */
  LT_OP_RELEASE = 2, /* a call that gives a handle back */
  LT_OP_REPLACE = 3, /* a call that gives one back and returns another (realloc, mremap) */
  LT_OP_NOTE = 4,    /* a call that user space is told of (pg_abi.h) */
};

/* Where a value is found. Arguments count from 0. */
enum lt_source {
  LT_FROM_NOTHING = 0,
  LT_FROM_RETURN = 1,
  LT_FROM_ARGUMENT = 2,
  LT_FROM_POINTEE = 3,   /* what the argument points to, read when the call returns */
  LT_FROM_PRODUCT = 4,   /* the argument times the one named in `second` */
  LT_FROM_PG_RESULT = 5, /* the memory that a PGresult takes, as it says itself */
};

/* When a call counts as a success. */
enum lt_success {
  LT_SUCCESS_ALWAYS = 0,
  LT_SUCCESS_NONNULL = 1,    /* returned something but NULL (malloc) */
  LT_SUCCESS_ZERO = 2,       /* returned 0 as an int (posix_memalign, munmap) */
  LT_SUCCESS_NOT_FAILED = 3, /* returned something but MAP_FAILED (mmap, mremap) */
  LT_SUCCESS_POSITIVE = 4,   /* returned more than 0 as an int (PQgetCopyData) */
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

/* One hooked function, as data. */
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
  struct lt_value_source pg_sql;     /* what is sent to a server */
  struct lt_value_source pg_name;    /* of a prepared statement or a portal */
  __u8 pg_role;                      /* enum lt_pg_role (pg_abi.h) */
  __u8 pg_command;                   /* enum lt_pg_command */
  __u8 reserved[2];
};
LT_ASSERT_SIZE(struct lt_row, 36);

/*
 * The attach cookie of a probe. A probe need not be on the first instruction of its function: the
 * function may have pushed some bytes by then.
 */
#define LT_COOKIE_ROW(cookie) ((__u32)((cookie)&0xffff))
#define LT_COOKIE_STEPPED (1ULL << 16) /* the kernel single-steps the instruction: expensive */
#define LT_COOKIE_LAYOUT(cookie) ((__u32)(((cookie) >> 17) & 0xff)) /* of this libpq; 0: none */
#define LT_COOKIE_LAYOUT_SHIFT 17
/* Of an entry: the function's returns are seen by probes on its own return instructions and not by
 * the kernel's trampoline. */
#define LT_COOKIE_OWN_RETURNS (1ULL << 25)
#define LT_COOKIE_AT_RETURN (1ULL << 26) /* this probe is on a return instruction */
#define LT_COOKIE_PUSHED(cookie) ((__u32)(((cookie) >> 32) & 0xffff)) /* bytes, entry to probe */
/* Pages between the beginning of the object's code and the probe; 0xffff: not known. */
#define LT_COOKIE_CODE_PAGES(cookie) ((__u32)((cookie) >> 48))
#define LT_COOKIE_CODE_PAGES_SHIFT 48

/* ---- Processes ---------------------------------------------------------------------------- */

enum lt_process_flags {
  LT_PROCESS_FOLLOW = 1 << 0,         /* trace the children too */
  LT_PROCESS_HOLD_TO_ENTRY = 1 << 1,  /* what `run` started: see LT_PROCESS_STARTING */
  LT_PROCESS_FORKED = 1 << 2,         /* began as a copy: what it releases may be the parent's */
  LT_PROCESS_SHARED = 1 << 3,         /* shares its parent's address space (vfork), and its image */
  LT_PROCESS_NO_TRAMPOLINES = 1 << 6, /* its stacks move: see bpf/engine.bpf.c */
  LT_PROCESS_HOLD_AT_EXEC = 1 << 5,   /* a child of such a program: held at exec only */
  LT_PROCESS_STARTING = 1 << 4,       /* between exec and the entry point: held at every mapping of
                                         code, until user space has attached to that */
  LT_PROCESS_LATE = 1 << 7,           /* since its last exec it has run without being held */
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

/* What tracing cost the processes of one slot, on one CPU. Images share slots when there are more
 * of them than slots. */
#define LT_HIT_SLOTS 1024
#define LT_HIT_SLOT(image) ((image) & (LT_HIT_SLOTS - 1))
struct lt_hits {
  __u64 entries; /* probes hit on an instruction that the kernel emulates */
  __u64 stepped; /* on one that it single-steps */
  __u64 returns;
  __u64 timed;    /* of all these, those whose program was timed */
  __u64 timed_ns; /* how long those took, the trap left out */
  __u64 samples;  /* blocks that were taken and might not have been, with a wider interval */
};
LT_ASSERT_SIZE(struct lt_hits, 48);

/* ---- Sampling ----------------------------------------------------------------------------- */

/*
 * Blocks are sampled by bytes: a block of S bytes is taken with the chance 1 - e^(-S/interval), as
 * if points were strewn over all bytes that are acquired, one in `interval` on average. User space
 * may change the interval while programs run; it is always base << step, so that a block remembers
 * its own in a byte.
 */
struct lt_sampling {
  __u64 base; /* bytes; 0: every block is taken */
  __u32 step; /* the interval is base << step */
  __u32 reserved;
  __u64 window_from; /* blocks acquired before this time have lived through a time in which no probe
                        was attached */
};
LT_ASSERT_SIZE(struct lt_sampling, 24);
#define LT_SAMPLING_STEPS 15
/* The step of a block that was taken for certain, and stands for itself alone. */
#define LT_SAMPLED_FOR_CERTAIN 255

/* ---- What is live, and the counters of each call site ------------------------------------ */

struct lt_resource_key {
  __u64 handle;
  __u32 image;
  __u32 kind;
};
LT_ASSERT_SIZE(struct lt_resource_key, 16);

struct lt_resource {
  __u64 stack_id;
  __u64 weight : 48;
  __u64 kind : 8;
  __u64 step : 8; /* of the sampling interval, or LT_SAMPLED_FOR_CERTAIN */
  __u64 acquired_ns;
  __u32 image;
  __u32 reserved;
};
LT_ASSERT_SIZE(struct lt_resource, 32);
#define LT_LARGEST_WEIGHT ((1ULL << 48) - 1)

/*
 * The table of live resources is an array of buckets; a resource is in one of a few, which its key
 * chooses (bpf/lib/live.bpf.h). The handles of a bucket share a cache line.
 */
#define LT_BUCKET_SLOTS 8
#define LT_HANDLE_NONE 0ULL
#define LT_HANDLE_BUSY 1ULL /* a program is writing or taking out what is there */
struct lt_live_bucket {
  __u64 handle[LT_BUCKET_SLOTS];
  struct lt_resource resource[LT_BUCKET_SLOTS];
};
LT_ASSERT_SIZE(struct lt_live_bucket, 320);
/* So many that all find room, in three quarters of the slots. */
#define LT_LIVE_BUCKETS(resources) ((resources) / (LT_BUCKET_SLOTS - 2) + 2)

struct lt_site_key {
  __u64 stack_id;
  __u32 image;
  __u32 kind;
};
LT_ASSERT_SIZE(struct lt_site_key, 16);

/*
 * CPUs count in stripes of their own, so that they do not fight for a cache line; a site's counter
 * is the sum over its stripes. When the trace samples, counts and bytes are estimates (each block
 * stands for 1/chance blocks) and counts are in 1/LT_COUNT_UNIT.
 */
#define LT_SITE_STRIPES 8
#define LT_COUNT_UNIT 65536
struct lt_site_stripe {
  __u64 acquired_count;
  __u64 acquired_bytes;
  __u64 released_count;
  __u64 released_bytes;
  __u64 acquired_samples; /* these four only when the trace samples */
  __u64 released_samples;
  __u64 count_variance; /* of what is outstanding: the sum of (1 - chance) / chance^2 */
  __u64 bytes_variance; /* the same of bytes, in units of base^2 / 2^LT_VARIANCE_SHIFT */
};
#define LT_VARIANCE_SHIFT 16
LT_ASSERT_SIZE(struct lt_site_stripe, 64);

struct lt_site_counters {
  struct lt_site_stripe stripe[LT_SITE_STRIPES];
};
LT_ASSERT_SIZE(struct lt_site_counters, 512);

/*
 * How long a site's sampled blocks lived until they were released, for traces that are not attached
 * all the time: released[i] counts ages from 2^(i-1) up to 2^i in units of 2^20 ns (about 1 ms),
 * the first all below and the last all above.
 */
#define LT_AGE_CLASSES 32
#define LT_AGE_UNIT_SHIFT 20
struct lt_site_lifetimes {
  __u32 within[LT_AGE_CLASSES]; /* blocks acquired in the same window of observation */
  __u32 across[LT_AGE_CLASSES]; /* blocks that were acquired before it */
};
LT_ASSERT_SIZE(struct lt_site_lifetimes, 256);

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
  LT_LOSS_PG_TEXT_CUT = 13, /* these four are user space's, too */
  LT_LOSS_PG_UNPARSED = 14,
  LT_LOSS_PG_UNDECIDED = 15,
  LT_LOSS_PG_UNMATCHED_CLOSE = 16,
  LT_LOSS_PG_TABLE_FULL = 17, /* connections that are not followed, in both */
  LT_LOSS_COUNT = 18,
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
  LT_EVENT_PG = 11,           /* see pg_abi.h */
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
