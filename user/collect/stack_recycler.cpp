// SPDX-License-Identifier: Apache-2.0
#include "user/collect/stack_recycler.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace leaktrace::collect {

std::size_t TableUse::excess() const {
  const std::size_t room = std::clamp(2 * growth, bound / 8, bound / 2);
  const bool is_filling_up = used > 0 && used >= bound - room;
  return is_filling_up ? used - std::min(used, bound / 2) : 0;
}

void StackRecycler::begin_reading() {
  ++reading_;
  growth_ = std::exchange(added_, 0);
}

void StackRecycler::add(StackPlace place, model::ImageId image) {
  entries_[place] = {image, reading_};
  ++added_;
}

void StackRecycler::remove(StackPlace place) {
  entries_.erase(place);
}

void StackRecycler::changed(StackPlace place) {
  auto found = entries_.find(place);
  if (found != entries_.end()) found->second.changed_at = reading_;
}

std::vector<StackPlace> StackRecycler::choose(std::size_t wanted,
                                              const std::function<bool(StackPlace)>& in_use) const {
  std::vector<std::pair<std::uint64_t, StackPlace>> idle;
  if (wanted == 0) return {};
  for (const auto& [place, entry] : entries_) {
    if (entry.changed_at < reading_ && !in_use(place)) idle.emplace_back(entry.changed_at, place);
  }
  std::sort(idle.begin(), idle.end());
  std::unordered_set<StackPlace> chosen;
  for (const auto& [changed_at, place] : idle) {
    if (chosen.size() == wanted) break;
    if (!chosen.contains(other_place(place))) chosen.insert(place);
  }
  return {chosen.begin(), chosen.end()};
}

}  // namespace leaktrace::collect
