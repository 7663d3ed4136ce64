// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/segment_map.h"

#include <algorithm>

namespace leaktrace::symbolize {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

}  // namespace

void SegmentMap::add(AddressRange range, std::uint32_t value, std::uint32_t depth) {
  if (range.begin < range.end) entries_.push_back({range, value, depth});
}

void SegmentMap::seal() {
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    if (a.range.begin != b.range.begin) return a.range.begin < b.range.begin;
    if (a.depth != b.depth) return a.depth < b.depth;
    return a.range.end > b.range.end;
  });
  std::vector<Entry> open;
  for (const Entry& entry : entries_) {
    close_until(open, entry.range.begin);
    open.push_back(entry);
    begin_segment(entry.range.begin, entry.value);
  }
  close_until(open, UINT64_MAX);
  segments_.shrink_to_fit();
  entries_ = {};
}

std::optional<std::uint32_t> SegmentMap::find(std::uint64_t address) const {
  auto after = std::upper_bound(
      segments_.begin(), segments_.end(), address,
      [](std::uint64_t value, const Segment& segment) { return value < segment.begin; });
  if (after == segments_.begin() || std::prev(after)->value == kNone) return std::nullopt;
  return std::prev(after)->value;
}

void SegmentMap::begin_segment(std::uint64_t at, std::uint32_t value) {
  if (!segments_.empty() && segments_.back().begin == at) segments_.pop_back();
  if (!segments_.empty() && segments_.back().value == value) return;
  segments_.push_back({at, value});
}

// Ranges that end by `at` end here, and the range around them goes on. An outer range may have
// ended before its inner one, where producers do not nest them well.
void SegmentMap::close_until(std::vector<Entry>& open, std::uint64_t at) {
  while (!open.empty() && open.back().range.end <= at) {
    std::uint64_t end = open.back().range.end;
    while (!open.empty() && open.back().range.end <= end) open.pop_back();
    begin_segment(end, open.empty() ? kNone : open.back().value);
  }
}

}  // namespace leaktrace::symbolize
