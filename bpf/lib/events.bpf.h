/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef LEAKTRACE_EVENTS_BPF_H
#define LEAKTRACE_EVENTS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/pids.bpf.h"

/* Everything that is not a counter: stacks once, ranges, and what processes do. User space sets
 * the size. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4 << 20);
} events SEC(".maps") __weak;

/*
 * How an event is submitted. Of those of PostgreSQL's clients user space need not hear at once: it
 * is not woken up for each, which would cost more than to read them, but when so much waits, and it
 * reads at every interval. The kernel wakes it up for other events when it has read all before,
 * which those may keep from being so; then it is woken up by how much waits, too.
 */
#define LT_EVENTS_WAIT (256 << 10) /* bytes */
static __always_inline __u64 wakeup_or(__u64 flags) {
  return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < LT_EVENTS_WAIT ? flags
                                                                        : BPF_RB_FORCE_WAKEUP;
}
static __always_inline __u64 with_haste(void) {
  return wakeup_or(0);
}
static __always_inline __u64 without_haste(void) {
  return wakeup_or(BPF_RB_NO_WAKEUP);
}

static __always_inline void fill_header(struct lt_event_header* header, __u32 type, __u32 image) {
  __u64 pid_tgid = current_pid_tgid();
  header->type = type;
  header->tgid = pid_tgid >> 32;
  header->tid = (__u32)pid_tgid;
  header->image = image;
  header->time_ns = bpf_ktime_get_ns();
}

static __always_inline void send_range(__u32 type, __u32 image, __u64 address, __u64 length,
                                       __u64 stack_id, __u32 flags) {
  struct lt_event_range* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    lose(LT_LOSS_RING_OVERFLOW);
    return;
  }
  fill_header(&event->header, type, image);
  event->address = address;
  event->length = length;
  event->stack_id = stack_id;
  event->flags = flags;
  event->reserved = 0;
  bpf_ringbuf_submit(event, with_haste());
}

/* Returns 0 when user space will hear of it. */
static __always_inline int send_process(__u32 type, __u32 tgid, __u32 image, __u32 other,
                                        __u32 flags) {
  struct lt_event_process* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    lose(LT_LOSS_RING_OVERFLOW);
    return -1;
  }
  fill_header(&event->header, type, image);
  event->header.tgid = tgid;
  event->other = other;
  event->flags = flags;
  /* A process may stand still until it is heard of, and others' events may be waiting. */
  bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
  return 0;
}

#endif
