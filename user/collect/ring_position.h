// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "user/base/result.h"

namespace leaktrace::collect {

/// How far a BPF ring buffer has been written and read, in bytes since it was made. Its first two
/// pages hold these numbers (kernel/bpf/ringbuf.c, struct bpf_ringbuf).
class RingPosition {
 public:
  /// Maps the two pages; the map may be closed afterwards.
  [[nodiscard]] static Result<RingPosition> map(int ring);
  RingPosition(RingPosition&& other) noexcept;
  RingPosition& operator=(RingPosition&&) = delete;
  ~RingPosition();

  [[nodiscard]] std::uint64_t read() const { return load(0); }
  /// Includes records that are still being written.
  [[nodiscard]] std::uint64_t written() const { return load(page_size_); }

 private:
  RingPosition(char* pages, std::size_t page_size) : pages_(pages), page_size_(page_size) {}
  [[nodiscard]] std::uint64_t load(std::size_t offset) const;

  char* pages_;
  std::size_t page_size_;
};

}  // namespace leaktrace::collect
