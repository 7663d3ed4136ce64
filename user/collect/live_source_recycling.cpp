// SPDX-License-Identifier: Apache-2.0
// How LiveSource makes room in the kernel's tables of stacks and sites.
#include <time.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "user/collect/live_source.h"

namespace leaktrace::collect {
namespace {

constexpr int kDrainAttempts = 20;
constexpr timespec kBetweenAttempts{.tv_sec = 0, .tv_nsec = 1'000'000};

/// Kinds that are counted in the kernel, or that a stack may have been estimated for.
constexpr std::array kCountedKinds = {model::Kind::heap, model::Kind::mmap,
                                      model::Kind::pg_connection, model::Kind::pg_result,
                                      model::Kind::pg_buffer};

/// The entries that a stack may have in the table of sites.
std::array<SiteEntry, kCountedKinds.size()> entries_at(StackPlace place, model::ImageId image) {
  std::array<SiteEntry, kCountedKinds.size()> entries;
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = {place, image, kCountedKinds[i]};
  return entries;
}

bool holds_nothing(const model::Counters& counters) {
  return counters.acquired_count == counters.released_count &&
         counters.acquired_bytes == counters.released_bytes;
}

}  // namespace

Result<void> LiveSource::recycle_if_full(const std::vector<SiteReading>& reading) {
  if (stopped_ns_) return {};
  const std::vector<StackPlace> idle = choose_idle(reading);
  if (idle.empty()) return {};
  auto retired = kernel_stacks_.retire(idle);
  // Mappings are known from events: those that name a retiring stack have been written by now.
  auto drained = drain_written();
  std::vector<model::StackId> recycled;
  if (retired && drained && *drained) recycled = remove_idle(*retired);
  kernel_stacks_.end_retirement();
  if (!retired) return retired.unexpected();
  if (!drained) return drained.unexpected();
  if (recycled.empty()) return {};
  return sink_.accept(model::Recycled{.at_ns = now_ns(), .stacks = std::move(recycled)});
}

std::vector<StackPlace> LiveSource::choose_idle(const std::vector<SiteReading>& reading) const {
  const std::size_t growth = recycler_.growth();
  const std::size_t wanted =
      std::max({TableUse{recycler_.size(), kernel_stacks_.max_stacks(), growth}.excess(),
                TableUse{reading.size(), kernel_stacks_.max_sites(), growth}.excess(),
                TableUse{ranges_.site_count(), options_.ranges.max_sites, growth}.excess(),
                TableUse{handlers_.sessions != nullptr ? handlers_.sessions->site_count() : 0,
                         options_.ranges.max_sites, growth}
                    .excess()});
  if (wanted == 0) return {};
  std::unordered_set<StackPlace> holding;
  for (const auto& [entry, counters] : reading) {
    if (!holds_nothing(counters)) holding.insert(entry.place);
  }
  const auto mapped = stacks_of_events();
  return recycler_.choose(wanted, [&](StackPlace place) {
    return holding.contains(place) || mapped.contains(stack_at(place));
  });
}

/// Takes all events that programs have begun to write until now. False: one of them is not finished
/// (its program is preempted), and those behind it cannot be read.
Result<bool> LiveSource::drain_written() {
  const std::uint64_t written = ring_position_.written();
  for (int attempt = 0; attempt < kDrainAttempts; ++attempt) {
    if (attempt > 0) ::nanosleep(&kBetweenAttempts, nullptr);
    if (auto drained = drain(); !drained) return drained.unexpected();
    if (ring_position_.read() >= written) return true;
  }
  return false;
}

/// Has a retiring place nothing that was acquired at it, and counters that have been sent?
bool LiveSource::is_idle(StackPlace place) const {
  return std::ranges::all_of(entries_at(place, recycler_.image_of(place)),
                             [this](const SiteEntry& entry) {
                               const auto counters = kernel_stacks_.read(entry);
                               if (!counters) return true;
                               const model::Counters now = counters_of(entry, *counters);
                               return holds_nothing(now) && now == totals_.last(entry);
                             });
}

/// Removes those that are idle still; returns the stacks that have no place any more.
std::vector<model::StackId> LiveSource::remove_idle(const std::vector<StackPlace>& retired) {
  const auto mapped = stacks_of_events();
  std::vector<model::StackId> gone;
  for (StackPlace place : retired) {
    const model::StackId stack = stack_at(place);
    if (mapped.contains(stack) || !is_idle(place)) continue;
    const model::ImageId image = recycler_.image_of(place);
    remove(place);
    if (recycler_.holds(other_place(place))) continue;
    forget(stack, image);
    gone.push_back(stack);
  }
  ranges_.forget(gone);
  if (handlers_.sessions != nullptr) handlers_.sessions->forget(gone);
  return gone;
}

void LiveSource::remove(StackPlace place) {
  for (const SiteEntry& entry : entries_at(place, recycler_.image_of(place))) {
    kernel_stacks_.remove(entry);
    totals_.removed(entry);
    lifetimes_.erase({{place.value}, entry.image, entry.kind});
  }
  kernel_stacks_.remove(place);
  recycler_.remove(place);
}

void LiveSource::forget(model::StackId stack, model::ImageId image) {
  for (const SiteEntry& entry : entries_at({stack.value}, image)) {
    totals_.forget(site_of(entry));
    survival_.forget(site_of(entry));
    unseen_.erase(site_of(entry));
  }
  allocator_stacks_.erase(stack);
}

}  // namespace leaktrace::collect
