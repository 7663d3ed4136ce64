/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is live, and the counters of each call site.
 *
 *   live_resources  (image, kind, handle) ──▶ stack, weight, time     one entry a live block
 *   call_sites      (image, kind, stack)  ──▶ four counters           what the collector reads
 *
 * A block is counted when, and only when, it is stored: no counter moves for a block that found no
 * room, and a release counts for whoever deleted the entry.
 */
#ifndef LEAKTRACE_SITES_BPF_H
#define LEAKTRACE_SITES_BPF_H

#include "bpf/lib/common.bpf.h"
#include "bpf/lib/losses.bpf.h"

/* Entries are not preallocated: user space sets the limit, memory grows with the blocks. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4 << 20);
  __type(key, struct lt_resource_key);
  __type(value, struct lt_resource);
} live_resources SEC(".maps") __weak;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, struct lt_site_key);
  __type(value, struct lt_site_counters);
} call_sites SEC(".maps") __weak;

/* The site's counters, made if need be. Null is counted as a loss. */
static __always_inline struct lt_site_counters* site_or_new(const struct lt_site_key* key) {
  struct lt_site_counters* site = bpf_map_lookup_elem(&call_sites, key);
  if (site) return site;
  struct lt_site_counters zero = {};
  int error = bpf_map_update_elem(&call_sites, key, &zero, BPF_NOEXIST);
  if (error && error != -EEXIST) {
    lose_insertion(error, LT_LOSS_SITE_TABLE_FULL);
    return NULL;
  }
  return bpf_map_lookup_elem(&call_sites, key);
}

static __always_inline void count_acquired(struct lt_site_counters* site, __u64 weight,
                                           __u64 now_ns) {
  if (site->acquired_count == site->released_count) site->since_ns = now_ns;
  __sync_fetch_and_add(&site->acquired_count, 1);
  __sync_fetch_and_add(&site->acquired_bytes, weight);
}

static __always_inline void count_released(__u32 image, __u32 kind,
                                           const struct lt_resource* resource) {
  struct lt_site_key key = {.stack_id = resource->stack_id, .image = image, .kind = kind};
  struct lt_site_counters* site = bpf_map_lookup_elem(&call_sites, &key);
  if (!site) return;
  __sync_fetch_and_add(&site->released_count, 1);
  __sync_fetch_and_add(&site->released_bytes, resource->weight);
}

/*
 * Takes a live resource out. The copy is made before the deletion, and of several who try only the
 * one whose deletion succeeded has it.
 */
static __always_inline int take_resource(const struct lt_resource_key* key,
                                         struct lt_resource* taken) {
  struct lt_resource* resource = bpf_map_lookup_elem(&live_resources, key);
  if (!resource) return 0;
  *taken = *resource;
  return bpf_map_delete_elem(&live_resources, key) == 0;
}

/* Stores a resource; one that is still live under the same handle was released unseen: it is closed
 * and counted. Returns 0, or the error (counted) when there is no room. */
static __always_inline int store_resource(const struct lt_resource_key* key,
                                          const struct lt_resource* resource) {
  int error = bpf_map_update_elem(&live_resources, key, resource, BPF_NOEXIST);
  if (error == -EEXIST) {
    struct lt_resource missed;
    lose(LT_LOSS_MISSED_RELEASE);
    if (take_resource(key, &missed)) count_released(key->image, key->kind, &missed);
    error = bpf_map_update_elem(&live_resources, key, resource, BPF_NOEXIST);
  }
  if (error) lose_insertion(error, LT_LOSS_LIVE_TABLE_FULL);
  return error;
}

#endif
