// SPDX-License-Identifier: Apache-2.0
// Reading whole BPF hash maps, many entries a system call.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "user/base/file.h"
#include "user/base/result.h"

namespace leaktrace::collect {

/// Calls `visit(key, value)` for the entries of a hash map. Entries that come or go meanwhile may
/// or may not be visited; the others are visited once. Uses BPF_MAP_LOOKUP_BATCH (Linux 5.6), which
/// wants room for the fullest bucket and says ENOSPC until it has it.
template <typename Key, typename Value, typename Visit>
[[nodiscard]] Result<void> for_each_entry(int map, Visit visit) {
  std::uint32_t room = 4096;
  std::vector<Key> keys(room);
  std::vector<Value> values(room);
  std::uint32_t position = 0;  // of the bucket to go on from
  bool first = true;
  for (;;) {
    std::uint32_t count = room;
    std::uint32_t next = 0;
    int error = bpf_map_lookup_batch(map, first ? nullptr : &position, &next, keys.data(),
                                     values.data(), &count, nullptr);
    if (error != 0 && errno == ENOSPC) {
      room *= 2;
      keys.resize(room);
      values.resize(room);
      continue;
    }
    if (error != 0 && errno != ENOENT) return fail(describe_errno("cannot read a BPF map", errno));
    for (std::uint32_t i = 0; i < count; ++i) visit(keys[i], values[i]);
    if (error != 0) return {};  // ENOENT: that was the last batch
    position = next;
    first = false;
  }
}

/// Deletes the entries whose key `unwanted` says so of.
template <typename Key, typename Value, typename Unwanted>
[[nodiscard]] Result<void> delete_entries_if(int map, Unwanted unwanted) {
  std::vector<Key> keys;
  auto read = for_each_entry<Key, Value>(map, [&](const Key& key, const Value&) {
    if (unwanted(key)) keys.push_back(key);
  });
  for (const Key& key : keys) bpf_map_delete_elem(map, &key);
  return read;
}

/// The sum of one entry of a per-CPU array over all possible CPUs.
[[nodiscard]] inline Result<std::uint64_t> sum_over_cpus(int map, std::uint32_t index) {
  int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return fail(describe_errno("cannot count the CPUs", -cpus));
  std::vector<std::uint64_t> values(static_cast<std::size_t>(cpus));
  if (bpf_map_lookup_elem(map, &index, values.data()) != 0) {
    return fail(describe_errno("cannot read a BPF map", errno));
  }
  std::uint64_t sum = 0;
  for (std::uint64_t value : values) sum += value;
  return sum;
}

}  // namespace leaktrace::collect
