/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of live resources, made for one look-up per acquire and per release:
 *
 *   key ── hash ──▶ two buckets of 8;  a bucket: | 8 handles: a cache line | 8 resources |
 *
 * An acquire goes where there is more room. That fills two thirds of the table before one finds
 * none; it then goes to two other buckets, and so all that user space asked for finds room. From
 * then on a release that finds nothing looks there too.
 *
 * A slot is claimed by an atomic exchange of its handle and is busy while it is written or taken
 * out, so nobody reads half of a resource, and a release is whoever's claim succeeded. No slot is
 * waited for: a resource that is being written is not released yet, because its program has not got
 * its handle.
 *
 * Unlike a hash map of the kernel it allocates nothing and locks nothing, and user space sees it as
 * memory (user/collect/live_table.h).
 */
#ifndef LEAKTRACE_LIVE_BPF_H
#define LEAKTRACE_LIVE_BPF_H

#include "bpf/lib/common.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1); /* user space says how many */
  __type(key, __u32);
  __type(value, struct lt_live_bucket);
} live_resources SEC(".maps") __weak;

/* As many as live_resources has. */
const volatile __u64 live_buckets = 1;

/* Some resource went to its other buckets. */
__u64 live_spilled;

struct lt_bucket_pair {
  __u32 index[2];
};

/* The first two buckets of a key (`other` 0), or the other two (1). The multipliers are odd
 * constants of splitmix64 (see mix() in stacks.bpf.h). */
static __always_inline struct lt_bucket_pair buckets_of(const struct lt_resource_key* key,
                                                        __u64 other) {
  __u64 hash = key->handle * 0x9e3779b97f4a7c15ULL;
  hash ^= ((__u64)key->image << 8 | key->kind) * 0x94d049bb133111ebULL;
  hash += other * 0x94d049bb133111ebULL;
  hash = (hash ^ (hash >> 32)) * 0xbf58476d1ce4e5b9ULL;
  hash ^= hash >> 29;
  struct lt_bucket_pair pair;
  pair.index[0] = ((hash & 0xffffffff) * live_buckets) >> 32;
  pair.index[1] = ((hash >> 32) * live_buckets) >> 32;
  return pair;
}

static __always_inline int is_at(const struct lt_live_bucket* bucket, __u32 slot,
                                 const struct lt_resource_key* key) {
  return bucket->handle[slot] == key->handle && bucket->resource[slot].image == key->image &&
         bucket->resource[slot].kind == key->kind;
}

/* The slot of the key in a bucket, or -1. */
static __always_inline int slot_of(const struct lt_live_bucket* bucket,
                                   const struct lt_resource_key* key) {
  for (int i = 0; i < LT_BUCKET_SLOTS; i++)
    if (is_at(bucket, i, key)) return i;
  return -1;
}

/* Takes a live resource out of one bucket, if it is there and nobody else is faster. */
__weak __noinline int take_from_bucket(__u32 index, const struct lt_resource_key* key,
                                       struct lt_resource* taken) {
  if (!key || !taken) return 0;
  struct lt_live_bucket* bucket = bpf_map_lookup_elem(&live_resources, &index);
  if (!bucket) return 0;
  int found = slot_of(bucket, key);
  if (found < 0) return 0;
  __u32 slot = found & (LT_BUCKET_SLOTS - 1);
  __u64 handle = key->handle;
  if (__sync_val_compare_and_swap(&bucket->handle[slot], handle, LT_HANDLE_BUSY) != handle)
    return 0;
  *taken = bucket->resource[slot];
  /* In between it may have become the same handle of another process. */
  int is_ours = taken->image == key->image && taken->kind == key->kind;
  __sync_lock_test_and_set(&bucket->handle[slot], is_ours ? LT_HANDLE_NONE : handle);
  return is_ours;
}

static __always_inline int take_from(const struct lt_resource_key* key, __u64 other,
                                     struct lt_resource* taken) {
  struct lt_bucket_pair pair = buckets_of(key, other);
  return take_from_bucket(pair.index[0], key, taken) || take_from_bucket(pair.index[1], key, taken);
}

/*
 * Is the handle in a bucket, perhaps? The product of the differences is 0 when one of them is. It
 * may be for other reasons, which costs a look; it spares a branch for each slot.
 */
static __always_inline int may_be_in(__u32 index, __u64 handle) {
  const struct lt_live_bucket* bucket = bpf_map_lookup_elem(&live_resources, &index);
  if (!bucket) return 0;
  __u64 product = 1;
  for (int i = 0; i < LT_BUCKET_SLOTS; i++) {
    __u64 difference = (bucket->handle[i] ^ handle) >> 4; /* blocks are aligned */
    lt_opaque(difference);
    product *= difference;
  }
  return product == 0;
}

/* Takes a live resource out: 1 for the one who has it, 0 when it is not there. `sampled`: most are
 * not there, and it should not cost two calls to find that out. */
static __always_inline int take_resource(const struct lt_resource_key* key, int sampled,
                                         struct lt_resource* taken) {
  if (sampled && !live_spilled) {
    struct lt_bucket_pair pair = buckets_of(key, 0);
    if (!may_be_in(pair.index[0], key->handle) && !may_be_in(pair.index[1], key->handle)) return 0;
  }
  if (take_from(key, 0, taken)) return 1;
  return live_spilled && take_from(key, 1, taken);
}

/* Without a branch: of 2^16 ways through two buckets the verifier would go each. */
static __always_inline __u64 used_slots(const struct lt_live_bucket* bucket) {
  __u64 count = 0;
  for (int i = 0; i < LT_BUCKET_SLOTS; i++) {
    __u64 handle = bucket->handle[i];
    __u64 negated = -handle;
    lt_opaque(negated); /* else clang makes a branch of it */
    count += (handle | negated) >> 63;
    lt_opaque(count); /* else clang 16 adds up at the end, with all handles on the BPF stack */
  }
  return count;
}

/* Puts a resource into a free slot of the bucket; 0, or -1 when there is none. */
static __always_inline int put_in_bucket(__u32 index, __u64 handle,
                                         const struct lt_resource* resource) {
  struct lt_live_bucket* bucket = bpf_map_lookup_elem(&live_resources, &index);
  if (!bucket) return -1;
  for (__u32 slot = 0; slot < LT_BUCKET_SLOTS; slot++) {
    if (bucket->handle[slot] != LT_HANDLE_NONE) continue;
    if (__sync_val_compare_and_swap(&bucket->handle[slot], LT_HANDLE_NONE, LT_HANDLE_BUSY) !=
        LT_HANDLE_NONE)
      continue;
    bucket->resource[slot] = *resource;
    __sync_lock_test_and_set(&bucket->handle[slot], handle);
    return 0;
  }
  return -1;
}

/* What the two buckets of a key say: is it there, and which has more room? */
static __always_inline int emptier_bucket(__u32 first, __u32 second,
                                          const struct lt_resource_key* key) {
  struct lt_live_bucket* a = bpf_map_lookup_elem(&live_resources, &first);
  struct lt_live_bucket* b = bpf_map_lookup_elem(&live_resources, &second);
  if (!a || !b) return 0;
  if (slot_of(a, key) >= 0 || slot_of(b, key) >= 0) return -EEXIST;
  return used_slots(b) < used_slots(a);
}

static __always_inline int put_in(const struct lt_bucket_pair* pair, int emptier,
                                  const struct lt_resource_key* key,
                                  const struct lt_resource* resource) {
  __u32 one = emptier ? pair->index[1] : pair->index[0];
  __u32 other = emptier ? pair->index[0] : pair->index[1];
  return put_in_bucket(one, key->handle, resource) && put_in_bucket(other, key->handle, resource);
}

/* Stores a resource: 0, -EEXIST when the key is there already, -E2BIG when there is no room. */
static __always_inline int put_resource(const struct lt_resource_key* key,
                                        const struct lt_resource* resource) {
  struct lt_bucket_pair pair = buckets_of(key, 0);
  int emptier = emptier_bucket(pair.index[0], pair.index[1], key);
  if (emptier < 0) return -EEXIST;
  if (live_spilled) {
    struct lt_bucket_pair others = buckets_of(key, 1);
    if (emptier_bucket(others.index[0], others.index[1], key) < 0) return -EEXIST;
  }
  if (!put_in(&pair, emptier, key, resource)) return 0;
  pair = buckets_of(key, 1);
  emptier = emptier_bucket(pair.index[0], pair.index[1], key);
  live_spilled = 1;
  return put_in(&pair, emptier > 0, key, resource) ? -E2BIG : 0;
}

#endif
