// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "leaktrace/abi.h"
#include "user/base/result.h"

namespace leaktrace::collect {

/// The kernel's table of live resources (bpf/lib/live.bpf.h), as memory that programs write to at
/// the same time. Unmapped when destroyed; the map itself belongs to the tracer.
class LiveTable {
 public:
  [[nodiscard]] static Result<LiveTable> map(int fd);
  LiveTable(LiveTable&& other) noexcept;
  LiveTable& operator=(LiveTable&&) = delete;
  ~LiveTable();

  /// Resources that the table has room for.
  [[nodiscard]] std::size_t capacity() const { return buckets_.size() * LT_BUCKET_SLOTS; }

  /// Visits every resource that is there all the time; those that come or go meanwhile may or may
  /// not be visited.
  void each(const std::function<void(std::uint64_t handle, const lt_resource&)>& visit) const;

  /// Removes the resources that `unwanted` says so of, unless they are released first.
  void remove_if(const std::function<bool(const lt_resource&)>& unwanted);

 private:
  explicit LiveTable(std::span<lt_live_bucket> buckets) : buckets_(buckets) {}

  std::span<lt_live_bucket> buckets_;
};

}  // namespace leaktrace::collect
