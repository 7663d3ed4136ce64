// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_rows.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "user/base/file.h"
#include "user/base/log.h"
#include "user/base/unique_fd.h"

namespace leaktrace::tracer {
namespace {

/// A shard is never quite full: pages do not straddle two.
constexpr uint64_t usual_shard_rows = LT_UNWIND_SHARD_ROWS - 4096;

}  // namespace

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

void UnwindRows::reserve(uint64_t rows) {
  uint64_t room = 0;
  for (const auto& shard : shards_) {
    if (shard) room += LT_UNWIND_SHARD_ROWS - shard->rows.taken();
  }
  if (rows <= room) return;
  const auto wanted = unused_shards((rows - room + usual_shard_rows - 1) / usual_shard_rows);
  if (const auto opened = open_shards(wanted); !opened) {
    log::debug("{}", opened.error().message());
  }
}

std::optional<uint32_t> UnwindRows::store(std::span<const uint64_t> rows) {
  for (uint32_t index = 0; index < shards_.size(); ++index) {
    if (!shards_[index]) continue;
    if (const auto first = store_in(index, rows)) return first;
  }
  const auto unused = unused_shards(1);
  if (unused.empty()) return std::nullopt;
  if (const auto opened = open_shards(unused); !opened) {
    log::warning("{}", opened.error().message());
    return std::nullopt;
  }
  return store_in(unused.front(), rows);
}

std::vector<uint32_t> UnwindRows::unused_shards(uint64_t most) const {
  std::vector<uint32_t> unused;
  most = std::min(most, most_shards_ - live_shards_);
  for (uint32_t index = 0; index < shards_.size() && unused.size() < most; ++index) {
    if (!shards_[index]) unused.push_back(index);
  }
  return unused;
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

Result<void> UnwindRows::open_shards(const std::vector<uint32_t>& indices) {
  std::vector<UniqueFd> fds;
  std::vector<int> values;
  std::vector<Shard> shards;
  for (size_t i = 0; i < indices.size(); ++i) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    const UniqueFd& fd = fds.emplace_back(bpf_map_create(
        BPF_MAP_TYPE_ARRAY, "unwind_shard", sizeof(__u32), sizeof(lt_unwind_shard), 1, &options));
    if (!fd) return fail(describe_errno("cannot make a table of unwind rows", errno));
    auto memory = MappedArray<lt_unwind_shard>::map(fd.get());
    if (!memory) return memory.unexpected();
    values.push_back(fd.get());
    shards.push_back(Shard{std::move(*memory)});
  }
  auto added = static_cast<__u32>(indices.size());
  if (bpf_map_update_batch(outer_fd_, indices.data(), values.data(), &added, nullptr) != 0) {
    added = 0;  // kernels without it, or in the middle: one by one, over those that were added
  }
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i >= added && bpf_map_update_elem(outer_fd_, &indices[i], &values[i], BPF_ANY) != 0) {
      return fail(describe_errno("cannot add a table of unwind rows", errno));
    }
    shards_[indices[i]].emplace(std::move(shards[i]));
    ++live_shards_;
  }
  return {};
}

}  // namespace leaktrace::tracer
