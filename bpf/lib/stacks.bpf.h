/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The identity of a call stack, and its one journey to user space.
 *
 * A stack is known by a 64-bit hash of its image and frames; a second hash tells apart two stacks
 * that share the first. Frames go to user space once, when the stack is first seen; what stays in
 * the kernel is the identity.
 */
#ifndef LEAKTRACE_STACKS_BPF_H
#define LEAKTRACE_STACKS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "bpf/lib/walk.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u64);
  __type(value, struct lt_stack_seen);
} call_stacks SEC(".maps") __weak;

/* A multiply-and-fold step for each frame; the multipliers are odd 64-bit constants of splitmix64
 * (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static __always_inline __u64 mix(__u64 hash, __u64 value) {
  hash = (hash ^ value) * 0xbf58476d1ce4e5b9ULL;
  return hash ^ (hash >> 32);
}

/* Hashes thread->frames[0, n) into thread->hash. Global, like walk_stack. */
__noinline int hash_frames(struct lt_thread* thread, __u32 n, __u32 image) {
  if (!thread) return 0;
  __u64 id = mix(0x9e3779b97f4a7c15ULL, image);
  __u64 check = image;
  for (__u32 i = 0; i < LT_MAX_FRAMES; i++) {
    if (i >= n) break;
    id = mix(id, thread->frames[i]);
    check = (check + thread->frames[i]) * 0x94d049bb133111ebULL;
  }
  thread->hash.id = id == LT_STACK_ID_NONE ? 1 : id;
  thread->hash.check = check >> 32;
  return 0;
}

/* Sends the frames. On failure nothing is remembered, so the next call at this stack tries again.
 */
static __always_inline int send_stack(struct lt_thread* thread, __u32 image, __u64 id, __u32 n,
                                      __u32 reason) {
  struct lt_event_stack* event = (void*)&thread->event;
  if (n > LT_MAX_FRAMES) return -1;
  fill_header(&event->header, LT_EVENT_STACK, image);
  event->stack_id = id;
  event->frames = n;
  event->reason = reason;
  __u64 size = sizeof(*event) + n * sizeof(__u64);
  lt_opaque(size);
  if (size > sizeof(thread->event) + sizeof(thread->frames)) return -1;
  long error = bpf_ringbuf_output(&events, event, size, 0);
  if (error) lose(LT_LOSS_RING_OVERFLOW);
  return error;
}

/*
 * The id of the stack that the registers stand on, made known to user space. LT_STACK_ID_NONE when
 * there is no room for it (counted): the resource is then kept under that one id, so that totals
 * stay whole.
 */
static __always_inline __u64 capture_stack(struct pt_regs* ctx, struct lt_thread* thread,
                                           __u32 image) {
  read_registers(ctx, &thread->registers);
  __u32 n = walk_stack(thread);
  hash_frames(thread, n, image);
  struct lt_stack_hash hash = thread->hash;
  __u32 reason = thread->reason;

  struct lt_stack_seen* seen = bpf_map_lookup_elem(&call_stacks, &hash.id);
  if (seen && seen->check != hash.check) {
    lose(LT_LOSS_STACK_COLLISION);
    hash.id = mix(hash.id, hash.check);
    seen = bpf_map_lookup_elem(&call_stacks, &hash.id);
  }
  if (seen) return hash.id;

  struct lt_stack_seen fresh = {.check = hash.check, .frames = n, .reason = reason};
  int error = bpf_map_update_elem(&call_stacks, &hash.id, &fresh, BPF_NOEXIST);
  if (error == -EEXIST) return hash.id; /* another thread was first */
  if (error) {
    lose_insertion(error, LT_LOSS_STACK_TABLE_FULL);
    return LT_STACK_ID_NONE;
  }
  if (send_stack(thread, image, hash.id, n, reason))
    bpf_map_delete_elem(&call_stacks, &hash.id);
  else if (reason != LT_STACK_COMPLETE)
    lose(LT_LOSS_STACK_TRUNCATED);
  return hash.id;
}

#endif
