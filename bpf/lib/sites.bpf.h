/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The counters of each call site, which are all that the collector reads each interval.
 *
 *   call_sites      (image, kind, stack)  ──▶ counters, a stripe for each of some CPUs
 *   site_lifetimes  (image, kind, stack)  ──▶ how old blocks were when they were released
 *
 * A block is counted when, and only when, it is stored: no counter moves for a block that found no
 * room, and a release counts for whoever took the entry out.
 */
#ifndef LEAKTRACE_SITES_BPF_H
#define LEAKTRACE_SITES_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/live.bpf.h"
#include "bpf/lib/losses.bpf.h"
#include "bpf/lib/sampling.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct lt_site_key);
  __type(value, struct lt_site_counters);
} call_sites SEC(".maps") __weak;

/* Zeros to copy from: too many for the BPF stack. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_site_counters);
} new_site SEC(".maps") __weak;

/* Filled in only while the governor has set a window. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct lt_site_key);
  __type(value, struct lt_site_lifetimes);
} site_lifetimes SEC(".maps") __weak;

/* The site's counters, made if need be. Null is counted as a loss. */
static __always_inline struct lt_site_counters* site_or_new(const struct lt_site_key* key) {
  struct lt_site_counters* site = bpf_map_lookup_elem(&call_sites, key);
  if (site) return site;
  __u32 zero = 0;
  struct lt_site_counters* empty = bpf_map_lookup_elem(&new_site, &zero);
  if (!empty) return NULL;
  int error = bpf_map_update_elem(&call_sites, key, empty, BPF_NOEXIST);
  if (error && error != -EEXIST) {
    lose_insertion(error, LT_LOSS_SITE_TABLE_FULL);
    return NULL;
  }
  return bpf_map_lookup_elem(&call_sites, key);
}

static __always_inline struct lt_site_stripe* own_stripe(struct lt_site_counters* site) {
  __u32 stripe = bpf_get_smp_processor_id();
  lt_opaque(stripe);
  return &site->stripe[stripe & (LT_SITE_STRIPES - 1)];
}

/* `weight`: memory to work in. */
static __always_inline void count_acquired(struct lt_site_counters* site,
                                           const struct lt_resource* resource,
                                           struct lt_sampling_weight* weight) {
  struct lt_site_stripe* stripe = own_stripe(site);
  if (!sampling.base) {
    __sync_fetch_and_add(&stripe->acquired_count, 1);
    __sync_fetch_and_add(&stripe->acquired_bytes, resource->weight);
    return;
  }
  weigh(resource, weight);
  __sync_fetch_and_add(&stripe->acquired_samples, 1);
  __sync_fetch_and_add(&stripe->acquired_count, weight->count);
  __sync_fetch_and_add(&stripe->acquired_bytes, weight->bytes);
  __sync_fetch_and_add(&stripe->count_variance, weight->count_variance);
  __sync_fetch_and_add(&stripe->bytes_variance, weight->bytes_variance);
}

/* The class of an age: see struct lt_site_lifetimes. */
static __always_inline __u32 age_class(__u64 age_ns) {
  __u64 rest = age_ns >> LT_AGE_UNIT_SHIFT;
  if (rest >> 31) return LT_AGE_CLASSES - 1;
  __u32 class = rest != 0;
  if (rest >> 16) class += 16, rest >>= 16;
  if (rest >> 8) class += 8, rest >>= 8;
  if (rest >> 4) class += 4, rest >>= 4;
  if (rest >> 2) class += 2, rest >>= 2;
  if (rest >> 1) class += 1;
  return class;
}

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lt_site_lifetimes);
} new_lifetimes SEC(".maps") __weak;

/* Kept for as many sites as there is room for; of the others the collector knows less. */
static __always_inline void note_lifetime(const struct lt_site_key* key,
                                          const struct lt_resource* resource) {
  struct lt_site_lifetimes* lifetimes = bpf_map_lookup_elem(&site_lifetimes, key);
  if (!lifetimes) {
    __u32 zero = 0;
    struct lt_site_lifetimes* empty = bpf_map_lookup_elem(&new_lifetimes, &zero);
    if (!empty) return;
    bpf_map_update_elem(&site_lifetimes, key, empty, BPF_NOEXIST);
    lifetimes = bpf_map_lookup_elem(&site_lifetimes, key);
    if (!lifetimes) return;
  }
  __u64 now = bpf_ktime_get_ns();
  __u64 class = age_class(now > resource->acquired_ns ? now - resource->acquired_ns : 0);
  lt_opaque(class);
  class &= LT_AGE_CLASSES - 1;
  if (resource->acquired_ns >= sampling.window_from)
    __sync_fetch_and_add(&lifetimes->within[class], 1);
  else
    __sync_fetch_and_add(&lifetimes->across[class], 1);
}

/* `is_seen`: it is released now. Else it was at some time that nobody knows, and teaches nothing of
 * lifetimes. */
__weak __noinline int count_released(const struct lt_resource* resource, int is_seen) {
  if (!resource) return 0;
  struct lt_site_key key = {
      .stack_id = resource->stack_id, .image = resource->image, .kind = resource->kind};
  struct lt_site_counters* site = bpf_map_lookup_elem(&call_sites, &key);
  if (!site) return 0;
  struct lt_site_stripe* stripe = own_stripe(site);
  if (!sampling.base) {
    __sync_fetch_and_add(&stripe->released_count, 1);
    __sync_fetch_and_add(&stripe->released_bytes, resource->weight);
  } else {
    struct lt_sampling_weight weight;
    weigh(resource, &weight);
    __sync_fetch_and_add(&stripe->released_samples, 1);
    __sync_fetch_and_add(&stripe->count_variance, -weight.count_variance);
    __sync_fetch_and_add(&stripe->bytes_variance, -weight.bytes_variance);
    __sync_fetch_and_add(&stripe->released_count, weight.count);
    __sync_fetch_and_add(&stripe->released_bytes, weight.bytes);
  }
  if (is_seen && sampling.window_from && !LT_KIND_IS_LASTING(key.kind))
    note_lifetime(&key, resource);
  return 0;
}

/* Stores a resource; one that is still live under the same handle was released unseen: it is closed
 * and counted. Returns 0, or the error (counted) when there is no room. */
__weak __noinline int store_resource(const struct lt_resource_key* key,
                                     const struct lt_resource* resource) {
  if (!key || !resource) return -E2BIG;
  int error = put_resource(key, resource);
  if (error == -EEXIST) {
    struct lt_resource missed;
    if (take_resource(key, 0, &missed)) {
      /* While no probe was attached that is no miss. */
      if (missed.acquired_ns >= sampling.window_from || LT_KIND_IS_LASTING(key->kind))
        lose(LT_LOSS_MISSED_RELEASE);
      count_released(&missed, 0);
    }
    error = put_resource(key, resource);
  }
  if (error) lose(LT_LOSS_LIVE_TABLE_FULL);
  return error;
}

#endif
