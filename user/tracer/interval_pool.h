// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace leaktrace::tracer {

/// Hands out runs of consecutive numbers from [0, size), lowest first, and takes them back.
class IntervalPool {
 public:
  explicit IntervalPool(uint32_t size);

  /// The first number of `count` consecutive free ones, now taken; empty when there is no such run.
  [[nodiscard]] std::optional<uint32_t> take(uint32_t count);
  /// Gives back a run that take() returned.
  void give_back(uint32_t first, uint32_t count);

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] uint32_t taken() const { return taken_; }

 private:
  uint32_t size_;
  uint32_t taken_ = 0;
  std::map<uint32_t, uint32_t> free_;  ///< first → count; neighbours are always joined
};

}  // namespace leaktrace::tracer
