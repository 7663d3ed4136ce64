// SPDX-License-Identifier: Apache-2.0
#include "user/collect/range_table.h"

#include <algorithm>
#include <utility>

namespace leaktrace::collect {
namespace {

/// The first part that ends after `address`, or the end.
template <typename Parts>
auto first_after(Parts& parts, std::uint64_t address) {
  auto part = parts.upper_bound(address);
  if (part != parts.begin() && std::prev(part)->second.end > address) --part;
  return part;
}

}  // namespace

std::uint64_t RangeTable::Mapping::asked_in(AddressRange range) const {
  const std::uint64_t start = std::max(range.start, asked_start);
  const std::uint64_t end = std::min(range.end, asked_end);
  return end > start ? end - start : 0;
}

void RangeTable::apply(const lt_event_range& event, std::uint64_t began_ns) {
  const model::ImageId image{event.header.image};
  const std::uint32_t tid = event.header.tid;
  switch (event.header.type) {
    case LT_EVENT_RANGE_ACQUIRED:
      acquired(
          {.image = image,
           .tid = tid,
           .address = event.address,
           .length = event.length,
           .stack = {event.stack_id},
           .at_ns = event.header.time_ns - std::min<std::uint64_t>(event.header.time_ns, began_ns),
           .nested = (event.flags & LT_RANGE_NESTED) != 0,
           .fixed = (event.flags & LT_RANGE_FIXED) != 0});
      break;
    case LT_EVENT_RANGE_TAKEN:
      taken(image, tid, event.address, event.length);
      break;
    case LT_EVENT_RANGE_RESTORED:
      restored(image, tid);
      break;
    default:
      break;
  }
}

/// The pages that the bytes lie in. Lengths come from arguments of calls that may yet fail, so a
/// range that runs over the end of the address space ends there.
AddressRange RangeTable::pages(std::uint64_t address, std::uint64_t length) const {
  const std::uint64_t offset_mask = options_.page_size - 1;
  const std::uint64_t highest = ~offset_mask;
  if (length == 0) return {};
  const std::uint64_t start = address & ~offset_mask;
  if (length > highest - std::min(address, highest)) return {start, highest};
  return {start, (address + length + offset_mask) & ~offset_mask};
}

void RangeTable::acquired(const RangeAcquired& call) {
  Image& image = images_[call.image];
  confirm(image, call.tid);
  const AddressRange range = pages(call.address, call.length);
  if (range.start >= range.end) return;
  const auto replaced = carve(image, range, [](const Mapping&) { return false; });
  if (!call.fixed) count_missed(replaced);
  close(image, replaced);
  store(image, call, range);
}

/// Enters a new mapping where the table has nothing, if there is room for it.
void RangeTable::store(Image& image, const RangeAcquired& call, AddressRange range) {
  if (held_ >= options_.max_parts) {
    ++live_table_full_;
    return;
  }
  auto mapping = std::make_shared<Mapping>();
  mapping->site = {call.stack, call.image, model::Kind::mmap};
  mapping->asked_start = call.address;
  mapping->asked_end = call.address + std::min(call.length, range.end - call.address);
  mapping->acquired_ns = call.at_ns;
  mapping->nested = call.nested;
  if (!call.nested) {
    Site* site = site_for(image, call.stack);
    if (site == nullptr) return;
    count_acquired(*site, mapping->asked_in(range), call.at_ns);
    ++site->counters.acquired_count;
  }
  insert(image.parts, range, mapping);
}

void RangeTable::taken(model::ImageId id, std::uint32_t tid, std::uint64_t address,
                       std::uint64_t length) {
  Image& image = images_[id];
  confirm(image, tid);
  const AddressRange range = pages(address, length);
  Take& take = image.takes[tid];
  take.pieces = carve(image, range, [](const Mapping&) { return false; });
  take.unmatched = take.pieces.empty();
}

void RangeTable::restored(model::ImageId id, std::uint32_t tid) {
  auto found = images_.find(id);
  if (found == images_.end()) return;
  Image& image = found->second;
  auto entry = image.takes.find(tid);
  if (entry == image.takes.end()) return;
  const Take take = std::move(entry->second);
  image.takes.erase(entry);
  if (take.settled) {
    for (const Piece& piece : take.pieces) {
      reacquire(image, *piece.mapping, piece.mapping->asked_in(piece.range));
    }
  }
  for (const Piece& piece : take.pieces) put_back(image, piece);
}

void RangeTable::settle() {
  for (auto& [id, image] : images_) {
    for (auto entry = image.takes.begin(); entry != image.takes.end();) {
      Take& take = entry->second;
      if (take.settled) {  // two readings later the call has returned, or its thread is gone
        held_ -= take.pieces.size();
        entry = image.takes.erase(entry);
        continue;
      }
      count_taken(image, take);
      take.settled = true;
      ++entry;
    }
  }
  // An event that was still in the ring when its image ended leaves nothing behind.
  std::erase_if(images_, [](const auto& entry) {
    const Image& image = entry.second;
    return image.parts.empty() && image.takes.empty() && image.sites.empty();
  });
}

void RangeTable::image_ended(model::ImageId id) {
  auto found = images_.find(id);
  if (found == images_.end()) return;
  const Image& image = found->second;
  held_ -= image.parts.size();
  for (const auto& [tid, take] : image.takes) held_ -= take.pieces.size();
  sites_ -= image.sites.size();
  images_.erase(found);
}

void RangeTable::reconcile(model::ImageId id, std::span<const AddressRange> mapped,
                           std::uint64_t as_of_ns) {
  auto found = images_.find(id);
  if (found == images_.end()) return;
  std::vector<AddressRange> sorted(mapped.begin(), mapped.end());
  std::ranges::sort(sorted, {}, &AddressRange::start);
  sorted.push_back({UINT64_MAX, UINT64_MAX});
  const auto is_newer = [as_of_ns](const Mapping& mapping) {
    return mapping.acquired_ns >= as_of_ns;
  };
  std::uint64_t covered = 0;
  for (const AddressRange& range : sorted) {
    if (range.start > covered) {
      const auto gone = carve(found->second, {covered, range.start}, is_newer);
      count_missed(gone);
      close(found->second, gone);
    }
    covered = std::max(covered, range.end);
  }
}

std::vector<model::SiteCounters> RangeTable::sites() const {
  std::vector<model::SiteCounters> all;
  all.reserve(sites_);
  for (const auto& [id, image] : images_) {
    for (const auto& [stack, site] : image.sites) {
      all.push_back({{stack, id, model::Kind::mmap}, site.counters});
    }
  }
  return all;
}

std::vector<model::SiteCounters> RangeTable::take_changed_sites() {
  std::vector<model::SiteCounters> changed;
  for (auto& [id, image] : images_) {
    for (auto& [stack, site] : image.sites) {
      if (!std::exchange(site.changed, false)) continue;
      changed.push_back({{stack, id, model::Kind::mmap}, site.counters});
    }
  }
  return changed;
}

std::unordered_set<model::StackId> RangeTable::stacks_in_use() const {
  std::unordered_set<model::StackId> stacks;
  for (const auto& [id, image] : images_) {
    for (const auto& [stack, site] : image.sites) {
      const model::Counters& counters = site.counters;
      if (site.changed || counters.outstanding_count() > 0 || counters.outstanding_bytes() > 0) {
        stacks.insert(stack);
      }
    }
    for (const auto& [tid, take] : image.takes) {
      for (const Piece& piece : take.pieces) stacks.insert(piece.mapping->site.stack);
    }
  }
  return stacks;
}

void RangeTable::forget(std::span<const model::StackId> stacks) {
  for (auto& [id, image] : images_) {
    for (model::StackId stack : stacks) sites_ -= image.sites.erase(stack);
  }
}

void RangeTable::append_blocks(std::vector<model::Block>& blocks) const {
  for (const auto& [id, image] : images_) {
    std::unordered_set<const Mapping*> split;  // seen at its lowest part
    for (const auto& [start, part] : image.parts) {
      const Mapping& mapping = *part.mapping;
      if (mapping.nested) continue;
      if (mapping.parts > 1 && !split.insert(&mapping).second) continue;
      blocks.push_back({mapping.site, start, mapping.in_table, mapping.acquired_ns});
    }
  }
}

void RangeTable::add_losses(model::Losses& losses) const {
  losses[LT_LOSS_LIVE_TABLE_FULL] += live_table_full_;
  losses[LT_LOSS_SITE_TABLE_FULL] += site_table_full_;
  losses[LT_LOSS_MISSED_RELEASE] += missed_release_;
  losses[LT_LOSS_UNMATCHED_RELEASE] += unmatched_release_;
}

/// Cuts a range out of the table, but for mappings that `leave` names. A mapping keeps its count of
/// parts: a piece is one until it is released or put back.
template <typename Leave>
std::vector<RangeTable::Piece> RangeTable::carve(Image& image, AddressRange range, Leave leave) {
  std::vector<Piece> pieces;
  if (range.start >= range.end) return pieces;
  auto at = first_after(image.parts, range.start);
  while (at != image.parts.end() && at->first < range.end) {
    const AddressRange part{at->first, at->second.end};
    const MappingPtr mapping = at->second.mapping;
    if (leave(*mapping)) {
      ++at;
      continue;
    }
    const AddressRange cut{std::max(part.start, range.start), std::min(part.end, range.end)};
    if (part.start < cut.start) {
      at->second.end = cut.start;
      ++at;
      ++mapping->parts;
      ++held_;
    } else {
      at = image.parts.erase(at);
    }
    mapping->in_table -= mapping->asked_in(cut);
    pieces.push_back({cut, mapping});
    if (cut.end < part.end) {
      const AddressRange rest{cut.end, part.end};
      if (part.start < cut.start && held_ >= options_.max_parts) {
        drop_remainder(image, mapping, rest);
      } else {
        at = std::next(image.parts.emplace_hint(at, rest.start, Part{rest.end, mapping}));
        ++mapping->parts;
        ++held_;
      }
    }
  }
  return pieces;
}

/// A hole was cut into a mapping and the table has no room for a second part of it: the upper part
/// counts as released, so that a program that only cuts holes cannot grow the table.
void RangeTable::drop_remainder(Image& image, const MappingPtr& mapping, AddressRange range) {
  const std::uint64_t bytes = mapping->asked_in(range);
  mapping->in_table -= bytes;
  ++mapping->parts;
  release(image, *mapping, bytes);
  ++live_table_full_;
}

/// The thread does something else: its last release has succeeded.
void RangeTable::confirm(Image& image, std::uint32_t tid) {
  auto entry = image.takes.find(tid);
  if (entry == image.takes.end()) return;
  count_taken(image, entry->second);
  held_ -= entry->second.pieces.size();
  image.takes.erase(entry);
}

void RangeTable::count_taken(Image& image, Take& take) {
  if (take.settled) return;
  for (const Piece& piece : take.pieces) {
    release(image, *piece.mapping, piece.mapping->asked_in(piece.range));
  }
  if (take.unmatched) ++unmatched_release_;
}

/// Counts one part of a mapping, of that many bytes, as released.
void RangeTable::release(Image& image, Mapping& mapping, std::uint64_t bytes) {
  --mapping.parts;
  if (mapping.nested) return;
  Site& site = image.sites[mapping.site.stack];
  site.changed = true;
  site.counters.released_bytes += bytes;
  if (mapping.parts == 0) ++site.counters.released_count;
}

/// The release of these pieces was not seen. What an allocator mapped for itself is in no counter,
/// so missing its release is no loss.
void RangeTable::count_missed(const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    Mapping& mapping = *piece.mapping;
    if (!mapping.nested && !std::exchange(mapping.missed, true)) ++missed_release_;
  }
}

void RangeTable::close(Image& image, const std::vector<Piece>& pieces) {
  for (const Piece& piece : pieces) {
    release(image, *piece.mapping, piece.mapping->asked_in(piece.range));
  }
  held_ -= pieces.size();
}

/// Undoes a release that was counted, upwards: by an acquisition.
void RangeTable::reacquire(Image& image, Mapping& mapping, std::uint64_t bytes) {
  ++mapping.parts;
  if (mapping.nested) return;
  Site& site = image.sites[mapping.site.stack];
  count_acquired(site, bytes, mapping.acquired_ns);
  if (mapping.parts == 1) ++site.counters.acquired_count;
}

/// Fills the gaps of the table within a piece with it again. The rest of it, where another mapping
/// has been made meanwhile, is released.
void RangeTable::put_back(Image& image, const Piece& piece) {
  Mapping& mapping = *piece.mapping;
  std::uint64_t replaced = 0;
  std::vector<AddressRange> gaps;
  std::uint64_t from = piece.range.start;
  for (auto at = first_after(image.parts, from);
       at != image.parts.end() && at->first < piece.range.end; ++at) {
    if (at->first > from) gaps.push_back({from, at->first});
    const std::uint64_t to = std::min(at->second.end, piece.range.end);
    replaced += mapping.asked_in({std::max(at->first, from), to});
    from = to;
  }
  if (from < piece.range.end) gaps.push_back({from, piece.range.end});
  for (const AddressRange& gap : gaps) insert(image.parts, gap, piece.mapping);
  --held_;
  // Its part as a piece ends here; the mapping is released only if no gap took it in.
  release(image, mapping, replaced);
}

/// Enters a part where the table has none, joined with its neighbours of the same mapping.
void RangeTable::insert(Parts& parts, AddressRange range, const MappingPtr& mapping) {
  mapping->in_table += mapping->asked_in(range);
  auto next = parts.lower_bound(range.start);
  const bool joins_next =
      next != parts.end() && next->first == range.end && next->second.mapping == mapping;
  if (joins_next) {
    range.end = next->second.end;
    next = parts.erase(next);
    --mapping->parts;
    --held_;
  }
  if (next != parts.begin()) {
    auto& previous = std::prev(next)->second;
    if (previous.end == range.start && previous.mapping == mapping) {
      previous.end = range.end;
      return;
    }
  }
  parts.emplace_hint(next, range.start, Part{range.end, mapping});
  ++mapping->parts;
  ++held_;
}

RangeTable::Site* RangeTable::site_for(Image& image, model::StackId stack) {
  auto found = image.sites.find(stack);
  if (found != image.sites.end()) return &found->second;
  if (sites_ >= options_.max_sites) {
    ++site_table_full_;
    return nullptr;
  }
  ++sites_;
  return &image.sites[stack];
}

/// Adds the bytes; the caller counts the mapping when it was not counted yet.
void RangeTable::count_acquired(Site& site, std::uint64_t bytes, std::uint64_t acquired_ns) {
  model::Counters& counters = site.counters;
  site.changed = true;
  counters.since_ns =
      counters.outstanding_count() == 0 ? acquired_ns : std::min(counters.since_ns, acquired_ns);
  counters.acquired_bytes += bytes;
}

}  // namespace leaktrace::collect
