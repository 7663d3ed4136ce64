// SPDX-License-Identifier: Apache-2.0
#include "user/collect/live_table.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "user/base/file.h"

namespace leaktrace::collect {
namespace {

bool is_handle(std::uint64_t handle) {
  return handle != LT_HANDLE_NONE && handle != LT_HANDLE_BUSY;
}

// A slot's resource, if it was the same handle's before and after it was read.
std::optional<lt_resource> read_slot(const lt_live_bucket& bucket, std::size_t slot,
                                     std::uint64_t handle) {
  const lt_resource resource = bucket.resource[slot];
  std::atomic_thread_fence(std::memory_order_acquire);
  if (__atomic_load_n(&bucket.handle[slot], __ATOMIC_RELAXED) != handle) return std::nullopt;
  return resource;
}

}  // namespace

Result<LiveTable> LiveTable::map(int fd) {
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) {
    return fail(describe_errno("cannot read the size of a BPF map", errno));
  }
  void* memory = ::mmap(nullptr, info.max_entries * sizeof(lt_live_bucket), PROT_READ | PROT_WRITE,
                        MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    return fail(describe_errno("cannot map the table of live resources", errno));
  }
  return LiveTable({static_cast<lt_live_bucket*>(memory), info.max_entries});
}

LiveTable::LiveTable(LiveTable&& other) noexcept : buckets_(std::exchange(other.buckets_, {})) {}

LiveTable::~LiveTable() {
  if (!buckets_.empty()) ::munmap(buckets_.data(), buckets_.size_bytes());
}

void LiveTable::each(
    const std::function<void(std::uint64_t handle, const lt_resource&)>& visit) const {
  for (const lt_live_bucket& bucket : buckets_) {
    for (std::size_t slot = 0; slot < LT_BUCKET_SLOTS; ++slot) {
      const std::uint64_t handle = __atomic_load_n(&bucket.handle[slot], __ATOMIC_ACQUIRE);
      if (!is_handle(handle)) continue;
      if (auto resource = read_slot(bucket, slot, handle)) visit(handle, *resource);
    }
  }
}

void LiveTable::remove_if(const std::function<bool(const lt_resource&)>& unwanted) {
  for (lt_live_bucket& bucket : buckets_) {
    for (std::size_t slot = 0; slot < LT_BUCKET_SLOTS; ++slot) {
      __u64 handle = __atomic_load_n(&bucket.handle[slot], __ATOMIC_ACQUIRE);
      if (!is_handle(handle)) continue;
      auto resource = read_slot(bucket, slot, handle);
      if (!resource || !unwanted(*resource)) continue;
      // As a program does: claimed, so that it is still the one that was looked at, then freed.
      if (!__atomic_compare_exchange_n(&bucket.handle[slot], &handle, LT_HANDLE_BUSY, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        continue;
      }
      const bool still = unwanted(bucket.resource[slot]);
      __atomic_store_n(&bucket.handle[slot], still ? LT_HANDLE_NONE : handle, __ATOMIC_RELEASE);
    }
  }
}

}  // namespace leaktrace::collect
