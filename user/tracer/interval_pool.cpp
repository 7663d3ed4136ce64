// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/interval_pool.h"

#include <iterator>

namespace leaktrace::tracer {

IntervalPool::IntervalPool(uint32_t size) : size_(size) {
  if (size > 0) free_.emplace(0, size);
}

std::optional<uint32_t> IntervalPool::take(uint32_t count) {
  if (count == 0) return 0;
  for (auto run = free_.begin(); run != free_.end(); ++run) {
    const auto [first, length] = *run;
    if (length < count) continue;
    free_.erase(run);
    if (length > count) free_.emplace(first + count, length - count);
    taken_ += count;
    return first;
  }
  return std::nullopt;
}

void IntervalPool::give_back(uint32_t first, uint32_t count) {
  if (count == 0) return;
  taken_ -= count;
  auto next = free_.lower_bound(first);
  if (next != free_.end() && first + count == next->first) {
    count += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      before->second += count;
      return;
    }
  }
  free_.emplace(first, count);
}

}  // namespace leaktrace::tracer
