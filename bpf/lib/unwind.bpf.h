/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * User stacks by the binaries' own unwind information (include/leaktrace/unwind_abi.h), with frame
 * pointers where there is none.
 *
 * unwind_user_stack ─▶ lt_unwind_frames: for each frame
 *                          lt_unwind_step: cache ─ miss ─▶ lt_unwind_find: range, page, row
 *                              │ row or rule: CFA, saved frame pointer, return address
 *                              │ the words are read from a window of the stack
 *                              ▼
 *                          lt_unwind_original_return: return addresses that uretprobes replaced
 *
 * The parts are global functions: the verifier checks each one once, alone, so the program's size
 * does not multiply with the depth of stacks, the steps of a search and the places that unwind.
 * They are weak so that the compiler may assume nothing about what they return. State between
 * steps lives in the scratch of the thread: per-CPU scratch would be overwritten when a thread is
 * preempted in the middle (uprobe programs are preemptible since Linux 6.0).
 *
 * Needs vmlinux.h, bpf_helpers.h and bpf_core_read.h.
 */
#ifndef LEAKTRACE_UNWIND_BPF_H
#define LEAKTRACE_UNWIND_BPF_H

#include "leaktrace/abi.h"
#include "leaktrace/unwind_abi.h"

#include "bpf/lib/unwind_return.bpf.h"
#include "bpf/lib/unwind_scratch.bpf.h"

/* For tests that count what the unwinder does; the product does not pay for that. */
#ifndef LT_UNWIND_COUNT
#define LT_UNWIND_COUNT(part)
#endif

/* Frames that are wanted. */
#ifndef LT_UNWIND_DEPTH
#define LT_UNWIND_DEPTH LT_MAX_FRAMES
#endif

#define LT_UNWIND_CACHE_SETS 16384
#define LT_UNWIND_USER_PAGE 4096

/* A frame that a frame pointer leads to lies near: further away it is some other value. */
#define LT_UNWIND_FRAME_POINTER_REACH (1 << 20)

#ifndef lt_opaque
#define lt_opaque(value) asm volatile("" : "+r"(value))
#endif

struct lt_unwind_frame_list {
  __u64 address[LT_MAX_FRAMES];
};

/* ---- Maps: all but the cache are written by user space (user/tracer/unwind_tables.h) -------- */

struct lt_unwind_shard_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  /* Sizes, not types: of a type within an inner map clang only notes the name. */
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct lt_unwind_shard));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __array(values, struct lt_unwind_shard_map);
} unwind_rows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 131072); /* 8 GiB of code */
  __type(key, __u32);
  __type(value, struct lt_unwind_page);
} unwind_pages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 131072);
  __type(key, __u32);
  __type(value, struct lt_unwind_range);
} unwind_ranges SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 16384);
  __type(key, __u32);
  __type(value, struct lt_unwind_rule);
} unwind_rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, __u32); /* tgid */
  __type(value, struct lt_unwind_process);
} unwind_procs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LT_UNWIND_CACHE_SETS);
  __type(key, __u32);
  __type(value, struct lt_unwind_cache_set);
} unwind_cache SEC(".maps");

/* ---- From pc to row ------------------------------------------------------------------------- */

/*
 * The searches xor their bounds with a zero that the verifier does not know. It then forgets what
 * it derived about them, and the ways through the loop are the same state at each step; without,
 * kernels since 6.8 follow each of the 2^17 ways.
 */

/* The index of the range that holds pc, or -1. */
__weak __noinline __s64 lt_unwind_find_range(__u64 pc, __u64 first, __u64 count, __u64 nothing) {
  __u64 low = 0, high = count;
  for (int i = 0; i < 18 && low < high; i++) {
    __u64 middle = (low + high) >> 1;
    __u32 index = first + middle;
    const struct lt_unwind_range* range = bpf_map_lookup_elem(&unwind_ranges, &index);
    if (!range) return -1;
    if (pc < range->start) {
      high = middle;
    } else if (pc >= range->end) {
      low = middle + 1;
    } else {
      return index;
    }
    low ^= nothing;
    high ^= nothing;
  }
  return -1;
}

/* The row of an address (counted from the start of its module's first page), or 0. */
__weak __noinline __u64 lt_unwind_find_row(__u64 address, __u64 first_page, __u64 nothing) {
  __u32 page_index = first_page + (address >> LT_UNWIND_PAGE_SHIFT);
  const struct lt_unwind_page* page = bpf_map_lookup_elem(&unwind_pages, &page_index);
  if (!page) return 0;
  __u64 first = page->first;
  __u32 shard_index = first >> LT_UNWIND_SHARD_SHIFT, zero = 0;
  void* inner = bpf_map_lookup_elem(&unwind_rows, &shard_index);
  if (!inner) return 0;
  const struct lt_unwind_shard* shard = bpf_map_lookup_elem(inner, &zero);
  if (!shard) return 0;

  __u32 wanted = address & ((1 << LT_UNWIND_PAGE_SHIFT) - 1);
  __u64 low = 0, high = page->count;
  for (int i = 0; i < 18 && low < high; i++) {
    __u64 middle = (low + high) >> 1;
    __u64 row = shard->row[(first + middle) & (LT_UNWIND_SHARD_ROWS - 1)];
    if (LT_UNWIND_ROW_ADDRESS(row) <= wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
    low ^= nothing;
    high ^= nothing;
  }
  if (!low) return 0;
  return shard->row[(first + low - 1) & (LT_UNWIND_SHARD_ROWS - 1)];
}

/* The row for a pc of the process whose ranges are given; 0 when pc is in none of them. */
__weak __noinline __u64 lt_unwind_find(__u64 pc, __u64 first, __u64 count, __u64 nothing) {
  __s64 found = lt_unwind_find_range(pc, first, count, nothing);
  if (found < 0) return 0;
  __u32 index = found;
  const struct lt_unwind_range* range = bpf_map_lookup_elem(&unwind_ranges, &index);
  if (!range) return 0;
  const __u64 none = (__u64)LT_UNWIND_CFA_NONE << 12;
  if (!range->pages) return none | LT_UNWIND_ROW_UNKNOWN;
  __u64 address = pc - range->bias;
  if ((address >> LT_UNWIND_PAGE_SHIFT) >= range->pages) return none;
  __u64 row = lt_unwind_find_row(address, range->first_page, nothing);
  return row ? row : none;
}

static __always_inline __u64 lt_unwind_cache_key(__u64 pc, __u64 generation) {
  __u64 key = (pc ^ (generation * 0x9e3779b97f4a7c15ULL)) * 0xd6e8feb86659fd93ULL;
  return key ^ (key >> 32);
}

static __always_inline __u64 lt_unwind_row_of(const struct lt_unwind_scratch* scratch, __u64 pc) {
  __u64 key = lt_unwind_cache_key(pc, scratch->generation);
  __u32 index = key & (LT_UNWIND_CACHE_SETS - 1);
  volatile struct lt_unwind_cache_set* set = bpf_map_lookup_elem(&unwind_cache, &index);
  if (!set) return 0;
  __u64 row = set->row[0];
  if (row && (set->check[0] ^ row) == key) return row;
  row = set->row[1];
  if (row && (set->check[1] ^ row) == key) return row;

  LT_UNWIND_COUNT(SEARCH);
  row = lt_unwind_find(pc, scratch->first_range, scratch->ranges, scratch->nothing);
  if (!row) return 0;
  set->row[1] = set->row[0];
  set->check[1] = set->check[0];
  set->row[0] = row;
  set->check[0] = row ^ key;
  return row;
}

/* ---- The stack's words ---------------------------------------------------------------------- */

/* Moves the window to begin at `address`; 0 when at least one word is in it. */
__weak __noinline int lt_unwind_move_window(struct lt_unwind_scratch* scratch, __u64 address) {
  if (!scratch) return -1;
  LT_UNWIND_COUNT(WINDOW);
  scratch->window_start = address;
  scratch->window_bytes = 0;
  __u64 bytes = LT_UNWIND_WINDOW_BYTES;
  if (bpf_probe_read_user(scratch->window, bytes, (void*)address)) {
    /* The next page may not be there; what is left of this one is. */
    bytes = (LT_UNWIND_USER_PAGE - (address & (LT_UNWIND_USER_PAGE - 1))) & ~7ULL;
    if (bytes < 8 || bytes > LT_UNWIND_WINDOW_BYTES) return -1;
    if (bpf_probe_read_user(scratch->window, bytes, (void*)address)) return -1;
  }
  scratch->window_bytes = bytes;
  return 0;
}

static __always_inline int lt_unwind_read(struct lt_unwind_scratch* scratch, __u64 address,
                                          __u64* word) {
  __u64 offset = address - scratch->window_start;
  if ((offset & 7) || offset >= scratch->window_bytes) {
    if (lt_unwind_move_window(scratch, address)) return -1;
    offset = 0;
  }
  *word = scratch->window[(offset >> 3) & (LT_UNWIND_WINDOW_WORDS - 1)];
  return 0;
}

/* ---- What a walk depends on ------------------------------------------------------------------ */

/* On something that is not noted: the walk cannot be recalled. */
static __always_inline void lt_unwind_depend(struct lt_unwind_scratch* scratch) {
  scratch->words_known = LT_RECALL_WORDS + 1;
}

/* On a word of the stack. */
static __always_inline void lt_unwind_depend_on(struct lt_unwind_scratch* scratch, __u64 slot,
                                                __u64 word) {
  __u64 at = (slot - scratch->first_sp) >> 3;
  __u32 known = scratch->words_known;
  if (known >= LT_RECALL_WORDS || at >= LT_RECALL_BYTES / 8) {
    lt_unwind_depend(scratch);
    return;
  }
  lt_opaque(known);
  scratch->word[known & (LT_RECALL_WORDS - 1)] = word;
  scratch->word_at[known & (LT_RECALL_WORDS - 1)] = at;
  scratch->words_known = known + 1;
}

/* On the frame pointer, which most code uses for anything: only here does its value matter. */
static __always_inline void lt_unwind_depend_on_fp(struct lt_unwind_scratch* scratch) {
  if (scratch->fp_slot)
    lt_unwind_depend_on(scratch, scratch->fp_slot, scratch->regs.fp);
  else
    scratch->first_fp = 1;
}

/* ---- One frame ------------------------------------------------------------------------------ */

enum lt_unwind_outcome {
  LT_UNWIND_NEXT = 0,    /* regs are the caller's */
  LT_UNWIND_STOP = 1,    /* see reason */
  LT_UNWIND_RETRACT = 2, /* see reason; and the frame just noted was a wrong guess */
};

static __always_inline int lt_unwind_stop(struct lt_unwind_scratch* scratch, __u32 reason) {
  scratch->reason = reason;
  return LT_UNWIND_STOP;
}

/* Makes `ra`, which was read from `slot`, the pc of the next frame. */
static __always_inline int lt_unwind_return_to(struct lt_unwind_scratch* scratch, __u64 ra,
                                               __u64 slot) {
#ifdef __TARGET_ARCH_arm64
  ra &= (1ULL << 48) - 1; /* a signed return address has its signature above */
#endif
  if (ra && ra == scratch->trampoline) {
    lt_unwind_depend(scratch);
    ra = lt_unwind_original_return(scratch, slot);
    if (!ra) return lt_unwind_stop(scratch, LT_STACK_NO_MAPPING);
  }
  if (!ra) return lt_unwind_stop(scratch, LT_STACK_COMPLETE);
  scratch->regs.pc = ra;
  return LT_UNWIND_NEXT;
}

/* The key that the kernel files a return probe under: the stack pointer at the function's entry. */
static __always_inline __u64 lt_unwind_entry_sp(__u64 cfa) {
#ifdef __TARGET_ARCH_arm64
  return cfa;
#else
  return cfa - 8;
#endif
}

/* Code without unwind information: {saved frame pointer, return address} where fp points. */
__weak __noinline int lt_unwind_frame_pointer_step(struct lt_unwind_scratch* scratch, __u64 row) {
  if (!scratch) return LT_UNWIND_STOP;
  __u64 fp = scratch->regs.fp, caller_fp, ra;
  lt_unwind_depend(scratch);
  /* The ABI: the outermost frame has 0. musl and Go do so in code that nothing describes; generated
   * code may use the register for anything. */
  if (!fp)
    return lt_unwind_stop(scratch,
                          row & LT_UNWIND_ROW_UNKNOWN ? LT_STACK_NO_ROW : LT_STACK_COMPLETE);
  if (fp & 7 || fp - scratch->regs.sp >= LT_UNWIND_FRAME_POINTER_REACH)
    return lt_unwind_stop(scratch, LT_STACK_NO_ROW);
  if (lt_unwind_read(scratch, fp, &caller_fp) || lt_unwind_read(scratch, fp + 8, &ra))
    return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
  scratch->regs.sp = fp + 16;
  scratch->regs.fp = caller_fp;
  scratch->exact = 0;
  scratch->guessed = 1;
  scratch->by_frame_pointer++;
  scratch->extra_known = 0;
  return lt_unwind_return_to(scratch, ra, lt_unwind_entry_sp(fp + 16));
}

/* The CFA of LT_UNWIND_CFA_REGISTER, or 0 and scratch->reason. */
static __always_inline __u64 lt_unwind_register_cfa(struct lt_unwind_scratch* scratch,
                                                    const struct lt_unwind_rule* rule) {
  if (scratch->exact) {
    __u64 word;
    if (lt_unwind_read(scratch, scratch->signal_sp + rule->cfa_addend, &word)) return 0;
    return word + rule->cfa_offset;
  }
  if (scratch->extra_known && (rule->flags & LT_UNWIND_CFA_IS_EXTRA))
    return scratch->regs.extra + rule->cfa_offset;
  scratch->reason = LT_STACK_RULE;
  return 0;
}

/* A rule's CFA, or 0 and scratch->reason. */
static __always_inline __u64 lt_unwind_rule_cfa(struct lt_unwind_scratch* scratch,
                                                const struct lt_unwind_rule* rule) {
  __u64 word;
  scratch->reason = LT_STACK_UNREADABLE;
  switch (rule->cfa) {
    case LT_UNWIND_CFA_SP:
      return scratch->regs.sp + rule->cfa_offset;
    case LT_UNWIND_CFA_FP:
      return scratch->regs.fp + rule->cfa_offset;
    case LT_UNWIND_CFA_PLT:
      return scratch->regs.sp + rule->cfa_offset +
             ((__s32)(scratch->regs.pc & 15) >= rule->cfa_addend ? 8 : 0);
    case LT_UNWIND_CFA_AT_SP:
      if (lt_unwind_read(scratch, scratch->regs.sp + rule->cfa_offset, &word)) return 0;
      return word + rule->cfa_addend;
    case LT_UNWIND_CFA_AT_FP:
      if (lt_unwind_read(scratch, scratch->regs.fp + rule->cfa_offset, &word)) return 0;
      return word + rule->cfa_addend;
    case LT_UNWIND_CFA_REGISTER:
      return lt_unwind_register_cfa(scratch, rule);
  }
  scratch->reason = LT_STACK_RULE;
  return 0;
}

/* Makes the extra register the caller's; -1 when it cannot be read. */
static __always_inline int lt_unwind_follow_extra(struct lt_unwind_scratch* scratch,
                                                  const struct lt_unwind_rule* rule,
                                                  __u64 saved_from) {
  if (rule->flags & LT_UNWIND_EXTRA_SAVED) {
    scratch->extra_known = 1;
    return lt_unwind_read(scratch, saved_from + rule->extra_offset, &scratch->regs.extra);
  }
  if (!(rule->flags & LT_UNWIND_EXTRA_SAME)) scratch->extra_known = 0;
  return 0;
}

/* The frames that do not fit a row: signals, stubs, realigned stacks, frames over 256 KiB. */
__weak __noinline int lt_unwind_rule_step(struct lt_unwind_scratch* scratch, __u64 rule_index) {
  if (!scratch) return LT_UNWIND_STOP;
  __u32 index = rule_index;
  LT_UNWIND_COUNT(RULE);
  lt_unwind_depend(scratch);
  const struct lt_unwind_rule* rule = bpf_map_lookup_elem(&unwind_rules, &index);
  if (!rule) return lt_unwind_stop(scratch, LT_STACK_RULE);
  __u64 sp = scratch->regs.sp, fp = scratch->regs.fp;
  __u64 cfa = lt_unwind_rule_cfa(scratch, rule);
  if (!cfa) return LT_UNWIND_STOP;
  __u32 is_signal = rule->flags & LT_UNWIND_SIGNAL;
  if (cfa <= sp && !is_signal) return lt_unwind_stop(scratch, LT_STACK_RULE);

  __u64 fp_slot = 0, ra_slot = cfa + rule->ra_offset, caller_fp = fp, ra;
  if (rule->fp == LT_UNWIND_FP_SLOT) fp_slot = cfa + rule->fp_offset;
  if (rule->fp == LT_UNWIND_FP_AT_SP) fp_slot = sp + rule->fp_offset;
  if (rule->fp == LT_UNWIND_FP_AT_FP) fp_slot = fp + rule->fp_offset;
  if (rule->ra == LT_UNWIND_RA_AT_SP) ra_slot = sp + rule->ra_offset;
  if (rule->ra == LT_UNWIND_RA_AT_FP) ra_slot = fp + rule->ra_offset;
  if (rule->fp == LT_UNWIND_FP_LOST) caller_fp = 0;
  if (fp_slot && lt_unwind_read(scratch, fp_slot, &caller_fp))
    return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
  if (rule->ra == LT_UNWIND_RA_LINK) {
    if (!scratch->exact) return lt_unwind_stop(scratch, LT_STACK_RULE);
    ra = scratch->regs.extra;
  } else if (lt_unwind_read(scratch, ra_slot, &ra)) {
    return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
  }
  if (lt_unwind_follow_extra(scratch, rule, is_signal ? sp : cfa))
    return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
  if (is_signal) scratch->signal_sp = sp;
  scratch->regs.sp = cfa;
  scratch->regs.fp = caller_fp;
  scratch->exact = is_signal;
  return lt_unwind_return_to(scratch, ra, lt_unwind_entry_sp(cfa));
}

/* From the frame in scratch->regs to its caller's. Returns enum lt_unwind_outcome. */
__weak __noinline int lt_unwind_step(struct lt_unwind_scratch* scratch) {
  if (!scratch) return LT_UNWIND_STOP;
  /* A return address is that of the instruction after the call, maybe of another function. */
  __u64 row = lt_unwind_row_of(scratch, scratch->regs.pc - !scratch->exact);
  if (!row) {
    scratch->reason = LT_STACK_NO_MAPPING;
    return scratch->guessed ? LT_UNWIND_RETRACT : LT_UNWIND_STOP;
  }
  __u64 cfa = LT_UNWIND_ROW_CFA_OFFSET(row);
  switch (LT_UNWIND_ROW_CFA(row)) {
    case LT_UNWIND_CFA_SP:
      cfa += scratch->regs.sp;
      break;
    case LT_UNWIND_CFA_FP:
      lt_unwind_depend_on_fp(scratch);
      cfa += scratch->regs.fp;
      break;
    case LT_UNWIND_CFA_END:
      return lt_unwind_stop(scratch, LT_STACK_COMPLETE);
    case LT_UNWIND_CFA_NONE:
      return lt_unwind_frame_pointer_step(scratch, row);
    case LT_UNWIND_CFA_RULE:
      scratch->guessed = 0;
      return lt_unwind_rule_step(scratch, LT_UNWIND_ROW_RULE(row));
    default:
      return lt_unwind_stop(scratch, LT_STACK_RULE);
  }
  /* Callers lie further up, always: this also ends loops in a stack that is overwritten. Only a
   * frame interrupted before it took any stack, its return address in a register, has none. */
  __u32 in_link = LT_UNWIND_ROW_RA(row) == LT_UNWIND_RA_LINK;
  if (cfa <= scratch->regs.sp && !(in_link && scratch->exact && cfa == scratch->regs.sp))
    return lt_unwind_stop(scratch, LT_STACK_RULE);

  __u64 slot = cfa + LT_UNWIND_ROW_SLOT_OFFSET(row), ra_slot = cfa - 8, ra;
  if (LT_UNWIND_ROW_FP(row) == LT_UNWIND_FP_SLOT) {
    if (lt_unwind_read(scratch, slot, &scratch->regs.fp))
      return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
    scratch->fp_slot = slot;
  } else if (LT_UNWIND_ROW_FP(row) == LT_UNWIND_FP_LOST) {
    scratch->regs.fp = 0;
  }
  if (LT_UNWIND_ROW_RA(row) == LT_UNWIND_RA_AFTER_FP) ra_slot = slot + 8;
  if (LT_UNWIND_ROW_RA(row) == LT_UNWIND_RA_SLOT) ra_slot = slot;
  if (in_link) {
    if (!scratch->exact) return lt_unwind_stop(scratch, LT_STACK_RULE);
    lt_unwind_depend(scratch);
    ra = scratch->regs.extra;
  } else if (lt_unwind_read(scratch, ra_slot, &ra)) {
    return lt_unwind_stop(scratch, LT_STACK_UNREADABLE);
  } else {
    lt_unwind_depend_on(scratch, ra_slot, ra);
  }
  scratch->regs.sp = cfa;
  scratch->exact = 0;
  scratch->guessed = 0;
  scratch->extra_known = 0;
  return lt_unwind_return_to(scratch, ra, lt_unwind_entry_sp(cfa));
}

/* The number of frames noted, with scratch->reason set. */
__weak __noinline int lt_unwind_frames(struct lt_unwind_scratch* scratch,
                                       struct lt_unwind_frame_list* frames) {
  if (!scratch || !frames) return 0;
  for (int i = 0; i < LT_MAX_FRAMES && i < (int)LT_UNWIND_DEPTH; i++) {
    /* Readers look up address - 1, for return addresses; make that right for interrupted code. */
    frames->address[i] = scratch->regs.pc + scratch->exact;
    int outcome = lt_unwind_step(scratch);
    if (outcome == LT_UNWIND_RETRACT) {
      scratch->by_frame_pointer--;
      return i;
    }
    if (outcome) return i + 1;
  }
  scratch->reason = LT_STACK_DEPTH;
  return LT_UNWIND_DEPTH;
}

/* The extra register (see unwind_abi.h) of a caller to which a function returns. */
static __always_inline __u64 lt_unwind_extra(const struct pt_regs* regs) {
#ifdef __TARGET_ARCH_x86
  return regs->bx;
#else
  return 0;
#endif
}

/*
 * The stack of the current thread, of process `tgid`, whose registers are `regs`: those of the
 * caller when a function has just returned, so pc is a return address.
 *
 * Frames innermost first: frames[0] = regs->pc itself, then return addresses. Returns their number
 * (0..LT_MAX_FRAMES) and sets *reason (enum lt_stack_flags). An interrupted frame (the caller of a
 * signal handler) is given as pc + 1, so that address - 1 is in the right function for each.
 * `frames` (LT_MAX_FRAMES words) and `scratch` lie in a map value that only this thread uses.
 */
static __always_inline __u32 unwind_user_stack(__u32 tgid, const struct lt_registers* regs,
                                               __u64* frames, struct lt_unwind_scratch* scratch,
                                               __u32* reason) {
  const struct lt_unwind_process* process = bpf_map_lookup_elem(&unwind_procs, &tgid);
  scratch->first_range = process ? process->first : 0;
  scratch->ranges = process ? process->count : 0;
  scratch->generation = process ? process->generation : 0;
  scratch->regs = *regs;
  scratch->signal_sp = 0;
  scratch->trampoline = lt_unwind_trampoline();
  scratch->return_instance = 0;
  scratch->reason = LT_STACK_COMPLETE;
  scratch->exact = 0;
  scratch->extra_known = 1;
  scratch->guessed = 0;
  scratch->by_frame_pointer = 0;
  scratch->nothing = 0;
  scratch->window_bytes = 0;
  scratch->first_sp = regs->sp;
  scratch->fp_slot = 0;
  scratch->first_fp = 0;
  scratch->words_known = 0;
  __u32 count = lt_unwind_frames(scratch, (struct lt_unwind_frame_list*)frames);
  *reason = scratch->reason;
  return count > LT_MAX_FRAMES ? LT_MAX_FRAMES : count;
}

#endif /* LEAKTRACE_UNWIND_BPF_H */
