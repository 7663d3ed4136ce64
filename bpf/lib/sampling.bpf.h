/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which blocks are sampled. Each thread counts down the bytes to its next point; since distances
 * are exponential, a thread may begin a new one at any time, as when the interval has changed.
 */
#ifndef LEAKTRACE_SAMPLING_BPF_H
#define LEAKTRACE_SAMPLING_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/threads.bpf.h"
#include "leaktrace/sampling.h"

/* Written by user space, at any time. `base` is set before anything is attached. */
volatile struct lt_sampling sampling;

/* Too much arithmetic to have in a program twice. */
__weak __noinline int weigh_sample(__u64 size, __u64 interval, struct lt_sampling_weight* weight) {
  if (!weight || !interval) return 0;
  *weight = lt_weigh_sample(size, interval);
  return 0;
}

/* What a stored block stands for. */
static __always_inline void weigh(const struct lt_resource* resource,
                                  struct lt_sampling_weight* weight) {
  weight->count = LT_COUNT_UNIT;
  weight->bytes = resource->weight;
  weight->count_variance = weight->bytes_variance = 0;
  __u32 step = resource->step;
  if (step >= LT_SAMPLING_STEPS) return; /* LT_SAMPLED_FOR_CERTAIN */
  weigh_sample(resource->weight, sampling.base << step, weight);
  weight->bytes_variance <<= 2 * step;
}

__weak __noinline __u64 sampling_distance(__u64 interval) {
  return lt_sampling_distance(bpf_get_prandom_u32(), interval);
}

/* Is this block taken? Counts its bytes. To be asked once for each call. */
static __always_inline int is_sampled(struct lt_thread* thread, __u64 size, __u32 step) {
  __u64 interval = sampling.base << step;
  if (thread->sampling_interval != interval) {
    thread->sampling_interval = interval;
    thread->bytes_to_sample = sampling_distance(interval);
  }
  __u64 bytes = size ? size : 1;
  if (bytes < thread->bytes_to_sample) {
    thread->bytes_to_sample -= bytes;
    return 0;
  }
  thread->bytes_to_sample = sampling_distance(interval);
  return 1;
}

#endif
