// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "user/collect/stack_place.h"

namespace leaktrace::collect {

/// How full a table is.
struct TableUse {
  std::size_t used = 0;
  std::size_t bound = 0;
  std::size_t growth = 0;  ///< new entries since the reading before

  /// Entries to take out: none while there is room for an eighth of the bound and for twice the
  /// growth; then down to a half, so that a table is not gone over at each reading.
  [[nodiscard]] std::size_t excess() const;
};

/// Knows which stacks the kernel's table holds and since when their counters have been the same,
/// and chooses those to recycle. About 60 bytes a stack.
class StackRecycler {
 public:
  /// The kernel has made an entry for a stack of the image.
  void add(StackPlace place, model::ImageId image);
  /// The kernel's entry is gone.
  void remove(StackPlace place);
  [[nodiscard]] bool holds(StackPlace place) const { return entries_.contains(place); }
  /// The image that a held place's stack is of.
  [[nodiscard]] model::ImageId image_of(StackPlace place) const { return entries_.at(place).image; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// A reading of all counters begins; changed() calls follow.
  void begin_reading();
  /// Stacks that came between the newest reading and the one before.
  [[nodiscard]] std::size_t growth() const { return growth_; }
  /// A counter of the entry was not what the reading before said.
  void changed(StackPlace place);

  /// Up to `wanted` places whose counters the newest reading found unchanged and that are not in
  /// use: those unchanged for longest. Never both places of one stack, so that there is always one
  /// to enter it at.
  [[nodiscard]] std::vector<StackPlace> choose(std::size_t wanted,
                                               const std::function<bool(StackPlace)>& in_use) const;

 private:
  struct Entry {
    model::ImageId image;
    std::uint64_t changed_at = 0;  ///< number of the reading
  };

  std::unordered_map<StackPlace, Entry> entries_;
  std::uint64_t reading_ = 0;
  std::size_t added_ = 0;  ///< since the newest reading
  std::size_t growth_ = 0;
};

}  // namespace leaktrace::collect
