// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "user/model/record.h"

namespace leaktrace::model {

/// The readings of a process's memory from the first to the newest, in bounded space: when it is
/// full, every other one is dropped, and from then on half as many are kept. So the readings that
/// are kept stand at even distances, whatever the length of the trace, but for the newest.
class MemorySeries {
 public:
  static constexpr std::size_t kMost = 128;

  void add(const ProcessMemory& reading);

  [[nodiscard]] bool empty() const { return kept_.empty(); }
  /// Of a series that is not empty.
  [[nodiscard]] const ProcessMemory& first() const { return kept_.front(); }
  [[nodiscard]] const ProcessMemory& newest() const { return newest_; }
  /// The oldest first, the newest last; at most kMost + 1.
  [[nodiscard]] std::vector<ProcessMemory> readings() const;

 private:
  std::vector<ProcessMemory> kept_;
  ProcessMemory newest_;
  std::uint64_t count_ = 0;   ///< of all readings
  std::uint64_t stride_ = 1;  ///< one in so many is kept
};

}  // namespace leaktrace::model
