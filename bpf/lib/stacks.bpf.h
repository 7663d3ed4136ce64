/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The identity of a call stack, and its one journey to user space.
 *
 * A stack is known by a 64-bit hash of its image and frames, and of how often the process had
 * closed libraries: an address means other code after that. A second hash tells apart two stacks
 * that share the first. Frames go to user space once, when the stack is first seen; what stays in
 * the kernel is the identity.
 *
 * When the tables fill up, user space recycles stacks that hold nothing outstanding
 * (user/collect/kernel_stacks.h): it marks them as retiring, waits until every program has ended
 * that had not seen the marks (RCU), removes what still holds nothing, and takes the marks back.
 * Programs enter a retiring stack at its second place, so nobody uses an entry that is removed:
 *
 *                      mark a, b    use a      remove    take marks back, use b
 *   retiring_stacks    a b          a b        a b       -
 *   call_stacks        a b c        a b c a'   c a'      c a' b
 */
#ifndef LEAKTRACE_STACKS_BPF_H
#define LEAKTRACE_STACKS_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/events.bpf.h"
#include "bpf/lib/python.bpf.h"
#include "bpf/lib/recall.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "bpf/lib/walk.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u64);
  __type(value, struct lt_stack_seen);
} call_stacks SEC(".maps") __weak;

/* Stacks whose entry is about to be removed; value: LT_RETIRING_MARK. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u64);
  __type(value, __u64);
} retiring_stacks SEC(".maps") __weak;

/* Not 0 while there may be marks, so that usually nobody pays for looking. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} stacks_retire SEC(".maps") __weak;

/* A multiply-and-fold step for each frame; the multipliers are odd 64-bit constants of splitmix64
 * (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static __always_inline __u64 mix(__u64 hash, __u64 value) {
  hash = (hash ^ value) * 0xbf58476d1ce4e5b9ULL;
  return hash ^ (hash >> 32);
}

/* An id of the first place that stands for nothing else. */
static __always_inline __u64 id_from(__u64 hash) {
  hash &= ~LT_STACK_SECOND_PLACE;
  return hash < LT_STACK_ID_FIRST ? LT_STACK_ID_FIRST : hash;
}

/* Hashes thread->frames[0, words) into thread->hash. A global function: the verifier checks it once
 * and by itself. */
__noinline int hash_frames(struct lt_thread* thread, __u32 words, __u32 image) {
  if (!thread) return 0;
  __u64 id = mix(0x9e3779b97f4a7c15ULL, image | (__u64)thread->unloads << 32);
  __u64 check = image + ((__u64)thread->unloads << 32);
  for (__u32 i = 0; i < LT_STACK_WORDS; i++) {
    if (i >= words) break;
    id = mix(id, thread->frames[i]);
    check = (check + thread->frames[i]) * 0x94d049bb133111ebULL;
  }
  thread->hash.id = id_from(id);
  thread->hash.check = check >> 32;
  return 0;
}

/* Sends the frames. On failure nothing is remembered, so the next call at this stack tries again.
 */
static __always_inline int send_stack(struct lt_thread* thread, __u32 image, __u64 id, __u32 words,
                                      __u32 reason) {
  struct lt_event_stack* event = (void*)&thread->event;
  __u32 native = thread->native_frames;
  if (words > LT_STACK_WORDS || native > words) return -1;
  fill_header(&event->header, LT_EVENT_STACK, image);
  event->stack_id = id;
  event->frames = native;
  event->python_frames = (words - native) / LT_PYTHON_FRAME_WORDS;
  event->reason = reason;
  event->by_frame_pointer = thread->scratch.by_frame_pointer;
  __u64 size = sizeof(*event) + words * sizeof(__u64);
  lt_opaque(size);
  if (size > sizeof(thread->event) + sizeof(thread->frames)) return -1;
  long error = bpf_ringbuf_output(&events, event, size, with_haste());
  if (error) lose(LT_LOSS_RING_OVERFLOW);
  return error;
}

static __always_inline int is_retiring(__u64 id, __u32 check) {
  __u32 zero = 0;
  __u32* any = bpf_map_lookup_elem(&stacks_retire, &zero);
  if (!any || !*any) return 0;
  __u64* mark = bpf_map_lookup_elem(&retiring_stacks, &id);
  return mark && *mark == LT_RETIRING_MARK(id, check);
}

/* Where a stack is, or would be, in call_stacks. LT_STACK_ID_NONE: another stack is there. */
static __always_inline __u64 place_of(__u64 id, __u32 check, int* known) {
  if (is_retiring(id, check)) id |= LT_STACK_SECOND_PLACE;
  struct lt_stack_seen* seen = bpf_map_lookup_elem(&call_stacks, &id);
  if (seen && seen->check != check) return LT_STACK_ID_NONE;
  *known = seen != NULL;
  return id;
}

/*
 * The id of the stack that was walked, made known to user space. LT_STACK_ID_NONE when there is no
 * room for it (counted): the resource is then kept under that one id, so that totals stay whole.
 */
static __always_inline __u64 identify_stack(struct lt_thread* thread, __u32 words) {
  __u32 image = thread->image;
  hash_frames(thread, words, image);
  struct lt_stack_hash hash = thread->hash;
  __u32 reason = thread->reason;

  int known = 0;
  __u64 id = place_of(hash.id, hash.check, &known);
  if (id == LT_STACK_ID_NONE) {
    lose(LT_LOSS_STACK_COLLISION);
    id = place_of(id_from(mix(hash.id, hash.check)), hash.check, &known);
  }
  if (known || id == LT_STACK_ID_NONE) return id;

  struct lt_stack_seen fresh = {.check = hash.check, .frames = words, .reason = reason};
  int error = bpf_map_update_elem(&call_stacks, &id, &fresh, BPF_NOEXIST);
  if (error == -EEXIST) return id; /* another thread was first */
  if (error) {
    lose_insertion(error, LT_LOSS_STACK_TABLE_FULL);
    return LT_STACK_ID_NONE;
  }
  send_python_codes(thread, words, image);
  if (send_stack(thread, image, id, words, reason)) {
    bpf_map_delete_elem(&call_stacks, &id);
    lt_unwind_depend(&thread->scratch); /* to be sent again by the next */
  } else if (reason != LT_STACK_COMPLETE) {
    lose(LT_LOSS_STACK_TRUNCATED);
  }
  return id;
}

/* The id of the stack at thread->registers: recalled, else walked. Global, like hash_frames. */
__weak __noinline __u64 stack_of(struct lt_thread* thread) {
  if (!thread) return LT_STACK_ID_NONE;
  __u64 id = recall_stack(thread);
  if (id != LT_STACK_ID_NONE) return id;
  thread->native_frames = walk_stack(thread);
  __u32 words = walk_python(thread, thread->image);
  id = identify_stack(thread, words);
  /* Python's frames are no words of the stack. */
  __u32 image = thread->image;
  if (id != LT_STACK_ID_NONE && !bpf_map_lookup_elem(&pythons, &image)) remember_stack(thread, id);
  return id;
}

/* The id of the stack of the function that has just returned. */
static __always_inline __u64 capture_stack(struct pt_regs* ctx, struct lt_thread* thread) {
  if (!stack_depth) return LT_STACK_ID_NONE;
  read_registers(ctx, &thread->registers);
  return stack_of(thread);
}

/*
 * The same at the entry of a function that has pushed nothing yet: the stack of whoever called it,
 * as it will be when the function has returned.
 */
static __always_inline __u64 capture_stack_of_caller(struct pt_regs* ctx,
                                                     struct lt_thread* thread) {
  if (!stack_depth) return LT_STACK_ID_NONE;
  read_registers(ctx, &thread->registers);
#if defined(__TARGET_ARCH_x86)
  thread->registers.pc = lt_unwind_return_address(&thread->scratch, thread->registers.sp);
  thread->registers.sp += sizeof(__u64);
#else
  thread->registers.pc = PT_REGS_RET(ctx);
#endif
  return stack_of(thread);
}

/* The same when a call ends, by whichever probe that is seen. */
static __always_inline __u64 capture_stack_of_call(struct pt_regs* ctx, struct lt_thread* thread,
                                                   const struct lt_call* call) {
  return call->own_returns ? capture_stack_of_caller(ctx, thread) : capture_stack(ctx, thread);
}

#endif
