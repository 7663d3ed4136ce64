// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace leaktrace::symbolize {

/// Half open: [begin, end).
struct AddressRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Which of many ranges, nested or not, holds an address: the innermost. Filled once with add(),
/// sealed, then asked.
///
///   outer  |-----------------|          sealed into segments without overlap:
///   inner       |----|                  |outer|inner|outer  |none
class SegmentMap {
 public:
  /// Of two ranges that begin at one address the deeper is the inner one; at equal depth the
  /// shorter, then the one that was added last. Empty ranges are passed over.
  void add(AddressRange range, std::uint32_t value, std::uint32_t depth = 0);
  void seal();
  [[nodiscard]] std::optional<std::uint32_t> find(std::uint64_t address) const;

 private:
  struct Entry {
    AddressRange range;
    std::uint32_t value;
    std::uint32_t depth;
  };
  struct Segment {
    std::uint64_t begin;
    std::uint32_t value;
  };

  void begin_segment(std::uint64_t at, std::uint32_t value);
  void close_until(std::vector<Entry>& open, std::uint64_t at);

  std::vector<Entry> entries_;  ///< only until seal()
  std::vector<Segment> segments_;
};

}  // namespace leaktrace::symbolize
