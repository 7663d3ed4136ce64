// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_rows.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "user/base/file.h"
#include "user/base/log.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

Result<UnwindRows> UnwindRows::create(int outer_fd, uint64_t most_bytes) {
  bpf_map_info info{};
  __u32 length = sizeof info;
  if (bpf_map_get_info_by_fd(outer_fd, &info, &length) != 0) {
    return fail(describe_errno("cannot inspect the map of unwind rows", errno));
  }
  const uint64_t most_shards =
      std::min<uint64_t>(most_bytes / sizeof(lt_unwind_shard), info.max_entries);
  return UnwindRows(outer_fd, most_shards, info.max_entries);
}

std::optional<uint32_t> UnwindRows::store(std::span<const uint64_t> rows) {
  std::optional<uint32_t> unused;
  for (uint32_t index = 0; index < shards_.size(); ++index) {
    if (!shards_[index]) {
      if (!unused) unused = index;
      continue;
    }
    if (const auto first = store_in(index, rows)) return first;
  }
  if (live_shards_ >= most_shards_ || !unused) return std::nullopt;
  if (const auto opened = open_shard(*unused); !opened) {
    log::warning("{}", opened.error().message());
    return std::nullopt;
  }
  return store_in(*unused, rows);
}

std::optional<uint32_t> UnwindRows::store_in(uint32_t index, std::span<const uint64_t> rows) {
  Shard& shard = *shards_[index];
  const auto first = shard.rows.take(static_cast<uint32_t>(rows.size()));
  if (!first) return std::nullopt;
  std::copy(rows.begin(), rows.end(), shard.memory.values()[0].row + *first);
  return index << LT_UNWIND_SHARD_SHIFT | *first;
}

void UnwindRows::remove(uint32_t first, uint32_t count) {
  const uint32_t index = first >> LT_UNWIND_SHARD_SHIFT;
  Shard& shard = *shards_[index];
  shard.rows.give_back(first % LT_UNWIND_SHARD_ROWS, count);
  if (shard.rows.taken() > 0) return;
  bpf_map_delete_elem(outer_fd_, &index);
  shards_[index].reset();
  --live_shards_;
}

Result<void> UnwindRows::open_shard(uint32_t index) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  const UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_shard", sizeof(__u32),
                                   sizeof(lt_unwind_shard), 1, &options));
  if (!fd) return fail(describe_errno("cannot make a table of unwind rows", errno));
  auto memory = MappedArray<lt_unwind_shard>::map(fd.get());
  if (!memory) return memory.unexpected();
  const int inner = fd.get();
  if (bpf_map_update_elem(outer_fd_, &index, &inner, BPF_ANY) != 0) {
    return fail(describe_errno("cannot add a table of unwind rows", errno));
  }
  shards_[index].emplace(Shard{std::move(*memory)});
  ++live_shards_;
  return {};
}

}  // namespace leaktrace::tracer
