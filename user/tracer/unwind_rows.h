// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "leaktrace/unwind_abi.h"
#include "user/base/result.h"
#include "user/tracer/interval_pool.h"
#include "user/tracer/mapped_array.h"

namespace leaktrace::tracer {

/// The rows that the BPF unwinder searches: shards of 512 KiB, made when they are needed and freed
/// when nothing is left in them.
class UnwindRows {
 public:
  /// `outer_fd`: the map of shards; not owned, must outlive this. `most_bytes`: bound of all
  /// shards.
  [[nodiscard]] static Result<UnwindRows> create(int outer_fd, uint64_t most_bytes);

  /// Makes shards for about this many rows beside those stored, as far as the bound goes. To be
  /// called before many are stored: the kernel waits for a grace period (some 10 ms) each time that
  /// a map of maps is changed, and this changes it once.
  void reserve(uint64_t rows);

  /// Stores the rows of one page, which never straddle two shards, and returns where: an
  /// lt_unwind_page::first. Empty when the bound is reached.
  [[nodiscard]] std::optional<uint32_t> store(std::span<const uint64_t> rows);
  /// Frees what store() returned.
  void remove(uint32_t first, uint32_t count);

  /// Kernel memory in use, in bytes.
  [[nodiscard]] uint64_t bytes() const { return live_shards_ * sizeof(lt_unwind_shard); }

 private:
  struct Shard {
    MappedArray<lt_unwind_shard> memory;
    IntervalPool rows{LT_UNWIND_SHARD_ROWS};
  };

  UnwindRows(int outer_fd, uint64_t most_shards, uint32_t slots)
      : outer_fd_(outer_fd), most_shards_(most_shards), shards_(slots) {}
  [[nodiscard]] std::optional<uint32_t> store_in(uint32_t index, std::span<const uint64_t> rows);
  [[nodiscard]] std::vector<uint32_t> unused_shards(uint64_t most) const;
  [[nodiscard]] Result<void> open_shards(const std::vector<uint32_t>& indices);

  int outer_fd_;
  uint64_t most_shards_;
  uint64_t live_shards_ = 0;
  std::vector<std::optional<Shard>> shards_;
};

}  // namespace leaktrace::tracer
