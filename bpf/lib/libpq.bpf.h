/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is read of libpq's objects in the process's memory, and where it is: user space has found
 * that out for each build of libpq. */
#ifndef LEAKTRACE_LIBPQ_BPF_H
#define LEAKTRACE_LIBPQ_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "leaktrace/pg_abi.h"

/* By LT_COOKIE_LAYOUT; 0 is none. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LT_PG_MAX_LAYOUTS);
  __type(key, __u32);
  __type(value, struct lt_pg_layout);
} pg_layouts SEC(".maps");

static __always_inline const struct lt_pg_layout* layout_at(__u32 index) {
  return index ? bpf_map_lookup_elem(&pg_layouts, &index) : NULL;
}

/* An int of an object, or `unknown`. */
static __always_inline __u32 pg_int(__u64 object, __u32 field, __u32 unknown) {
  __u32 value = unknown;
  if (!object || field == LT_PG_NO_FIELD) return unknown;
  if (bpf_probe_read_user(&value, sizeof(value), (void*)object + field)) return unknown;
  return value;
}

/* What a connection says of itself; these fields stand close together, so one read gets them. */
struct lt_pg_words {
  __u32 status;
  __u32 async;
  __u32 transaction;
  __u32 pipeline;
};
#define LT_PG_WORDS_BYTES 32
#define LT_PG_CONNECTION_BAD 1

static __always_inline void read_words(struct lt_thread* thread, __u64 connection,
                                       const struct lt_pg_layout* layout,
                                       struct lt_pg_words* words) {
  const __u32* near = (const __u32*)thread->pg_read;
  __u32 from = layout->connection_status;
  __u32 to_pipeline = layout->pipeline - from;
  words->status = 0;
  words->async = ~0u;
  words->transaction = LT_PG_TRANSACTION_UNKNOWN;
  words->pipeline = 0;
  if (layout->async_status == LT_PG_NO_FIELD || from == LT_PG_NO_FIELD ||
      to_pipeline > LT_PG_WORDS_BYTES - 4) {
    words->status = pg_int(connection, from, 0);
    words->async = pg_int(connection, layout->async_status, ~0u);
    words->transaction = pg_int(connection, layout->transaction, LT_PG_TRANSACTION_UNKNOWN);
    words->pipeline = pg_int(connection, layout->pipeline, 0);
    return;
  }
  if (bpf_probe_read_user(thread->pg_read, LT_PG_WORDS_BYTES, (void*)connection + from)) return;
  words->status = near[0]; /* these three in this order: LT_PG_NO_FIELD, else */
  words->async = near[1];
  words->transaction = near[2];
  to_pipeline = to_pipeline / 4 & (LT_PG_WORDS_BYTES / 4 - 1);
  lt_opaque(to_pipeline);
  words->pipeline = near[to_pipeline & (LT_PG_WORDS_BYTES / 4 - 1)];
}

/* The memory that a result takes. 0: libpq's static one, which is not anybody's (OOM_result); -1:
 * this libpq does not say. */
static __always_inline __s64 result_memory(__u64 result, __u32 layout_index) {
  __s64 bytes = -1;
  const struct lt_pg_layout* layout = layout_at(layout_index);
  if (!layout || layout->result_memory == LT_PG_NO_FIELD) return -1;
  if (bpf_probe_read_user(&bytes, sizeof(bytes), (void*)result + layout->result_memory)) return -1;
  return bytes;
}

/* Was a function of libpq called by libpq itself? `cookie` is of the probe on that function. */
static __always_inline int called_by_libpq(__u64 cookie, __u64 probe_ip, __u64 return_address) {
  const struct lt_pg_layout* layout = layout_at(LT_COOKIE_LAYOUT(cookie));
  __u64 pages = LT_COOKIE_CODE_PAGES(cookie);
  if (!layout || !layout->code_bytes || pages == 0xffff) return 0;
  __u64 code = (probe_ip & ~4095ULL) - (pages << 12);
  return return_address - code < layout->code_bytes;
}

#endif
