/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Takes some of a function's calls for two unwinders: leaktrace's, and one that gets a copy. */
#include "vmlinux.h"
/* vmlinux.h first */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/lib/own_stack.bpf.h"
#include "bpf/lib/unwind.bpf.h"
#include "tests/bpf/oracle/oracle_probe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct thread {
  struct lt_registers registers;
  __u32 reason;
  __u64 frames[LT_MAX_FRAMES];
  struct lt_unwind_scratch scratch;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, __u64);
  __type(value, struct thread);
} threads SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct thread);
} new_thread SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 << 20);
} moments SEC(".maps");

__u32 one_in = 1; /* how many calls there are to one that is taken */
__u64 calls = 0;
__u64 ring_full = 0;
__u64 foreign_probes = 0; /* moments that were not taken: see has_return_probes */

static __always_inline struct thread* this_thread(void) {
  __u64 id = bpf_get_current_pid_tgid();
  struct thread* thread = bpf_map_lookup_elem(&threads, &id);
  if (thread) return thread;
  __u32 zero = 0;
  void* empty = bpf_map_lookup_elem(&new_thread, &zero);
  if (!empty) return NULL;
  bpf_map_update_elem(&threads, &id, empty, BPF_NOEXIST);
  return bpf_map_lookup_elem(&threads, &id);
}

__noinline __u32 walk_stack(struct thread* thread) {
  if (!thread) return 0;
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  return unwind_user_stack(tgid, &thread->registers, thread->frames, &thread->scratch,
                           &thread->reason);
}

/*
 * Somebody's return probes (another tracer on this machine) have replaced return addresses in this
 * stack. leaktrace repairs them, but a copy would hold the wrong ones.
 */
static __always_inline int has_return_probes(void) {
  struct task_struct___lt* task = (void*)bpf_get_current_task_btf();
  return BPF_CORE_READ(task, utask, return_instances) != NULL;
}

/* How many pages there are to the last one that can be read, at most those of the largest copy. */
__weak __noinline __u32 pages_to_copy(__u64 sp) {
  __u64 page = sp & ~(__u64)(ORACLE_PAGE - 1), word;
  __u32 pages = 0;
  for (int i = 0; i < ORACLE_LARGE_COPY / ORACLE_PAGE; i++) {
    if (!bpf_probe_read_user(&word, sizeof(word), (void*)page)) pages = i + 1;
    page += ORACLE_PAGE;
  }
  return pages;
}

static __always_inline void fill(struct oracle_stack* moment, const struct pt_regs* regs,
                                 const struct thread* thread, __u32 count) {
  __u64 id = bpf_get_current_pid_tgid();
  moment->time = bpf_ktime_get_ns();
  moment->tgid = id >> 32;
  moment->tid = id;
  moment->count = count;
  moment->reason = thread->reason;
  __u64* reg = moment->reg;
  reg[0] = regs->ax, reg[1] = regs->dx, reg[2] = regs->cx, reg[3] = regs->bx;
  reg[4] = regs->si, reg[5] = regs->di, reg[6] = regs->bp, reg[ORACLE_RSP] = regs->sp;
  reg[8] = regs->r8, reg[9] = regs->r9, reg[10] = regs->r10, reg[11] = regs->r11;
  reg[12] = regs->r12, reg[13] = regs->r13, reg[14] = regs->r14, reg[15] = regs->r15;
  reg[ORACLE_RIP] = regs->ip;
  bpf_probe_read_kernel(moment->frames, sizeof(moment->frames), thread->frames);
}

/* A record of the ring has a size that is known when the program is compiled. */
#define DEFINE_SEND(name, size)                                                             \
  static __always_inline void name(const struct pt_regs* regs, const struct thread* thread, \
                                   __u32 count) {                                           \
    struct oracle_stack* moment =                                                           \
        bpf_ringbuf_reserve(&moments, sizeof(struct oracle_stack) + (size), 0);             \
    if (!moment) {                                                                          \
      __sync_fetch_and_add(&ring_full, 1);                                                  \
      return;                                                                               \
    }                                                                                       \
    fill(moment, regs, thread, count);                                                      \
    moment->pages = (size) / ORACLE_PAGE;                                                   \
    __u64 from = regs->sp & ~(__u64)(ORACLE_PAGE - 1);                                      \
    __u32 readable = 0;                                                                     \
    for (__u32 i = 0; i < (size) / ORACLE_PAGE; i++) {                                      \
      void* page = (void*)(moment + 1) + i * ORACLE_PAGE;                                   \
      if (!bpf_probe_read_user(page, ORACLE_PAGE, (void*)from)) readable |= 1U << i;        \
      from += ORACLE_PAGE;                                                                  \
    }                                                                                       \
    moment->readable = readable;                                                            \
    bpf_ringbuf_submit(moment, 0);                                                          \
  }

DEFINE_SEND(send_small, ORACLE_SMALL_COPY)
DEFINE_SEND(send_medium, ORACLE_MEDIUM_COPY)
DEFINE_SEND(send_large, ORACLE_LARGE_COPY)

/*
 * At a function's first instruction. A return probe would have replaced a return address in the
 * stack, which the copy would then hold.
 */
SEC("uprobe")
int take_moment(struct pt_regs* ctx) {
  keep_own_stack(ctx);
  __sync_fetch_and_add(&calls, 1);
  if (one_in > 1 && bpf_get_prandom_u32() % one_in) return 0;
  if (has_return_probes()) {
    __sync_fetch_and_add(&foreign_probes, 1);
    return 0;
  }
  struct thread* thread = this_thread();
  if (!thread) return 0;
  if (bpf_probe_read_user(&thread->registers.pc, 8, (void*)PT_REGS_SP(ctx))) return 0;
  thread->registers.sp = PT_REGS_SP(ctx) + 8;
  thread->registers.fp = PT_REGS_FP(ctx);
  thread->registers.extra = lt_unwind_extra(ctx);
  __u32 count = walk_stack(thread);
  __u32 pages = pages_to_copy(PT_REGS_SP(ctx));
  if (pages <= ORACLE_SMALL_COPY / ORACLE_PAGE) {
    send_small(ctx, thread, count);
  } else if (pages <= ORACLE_MEDIUM_COPY / ORACLE_PAGE) {
    send_medium(ctx, thread, count);
  } else {
    send_large(ctx, thread, count);
  }
  return 0;
}
