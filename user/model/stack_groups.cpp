// SPDX-License-Identifier: Apache-2.0
#include "user/model/stack_groups.h"

#include <algorithm>

namespace leaktrace::model {
namespace {

/// The address says nothing more where the place within a file is known.
std::uint64_t place_of(const RawFrame& frame) {
  return frame.module.value == 0 ? frame.address : frame.offset;
}

bool reads_alike(const Stack& a, const Stack& b) {
  return a.image == b.image && a.end == b.end &&
         std::ranges::equal(a.frames, b.frames, [](const RawFrame& x, const RawFrame& y) {
           return x.module == y.module && place_of(x) == place_of(y);
         });
}

std::uint64_t hash_of(const Stack& stack) {
  std::uint64_t hash = stack.image.value;
  const auto mix = [&hash](std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
  };
  mix(static_cast<std::uint64_t>(stack.end));
  for (const RawFrame& frame : stack.frames) {
    mix(frame.module.value);
    mix(place_of(frame));
  }
  return hash;
}

}  // namespace

StackId StackGroups::join(const Stack& stack, const std::unordered_map<StackId, Stack>& known) {
  if (stack.frames.empty()) return stack.id;
  if (members_.contains(stack.id)) return of(stack.id);
  const std::uint64_t hash = hash_of(stack);
  std::vector<StackId>& groups = by_hash_[hash];
  const auto same = std::ranges::find_if(groups, [&](StackId group) {
    const auto found = known.find(group);
    return found != known.end() && reads_alike(found->second, stack);
  });
  StackId group;
  if (same != groups.end()) {
    group = *same;
  } else {
    group = new_group(stack.id);
    groups.push_back(group);
    hashes_[group] = hash;
  }
  members_[stack.id] = {group, stack.image};
  ++sizes_[group];
  return group;
}

StackId StackGroups::new_group(StackId first) {
  // Ids of stacks have 63 bits (LT_STACK_SECOND_PLACE).
  constexpr std::uint64_t own_names = std::uint64_t{1} << 63;
  return sizes_.contains(first) ? StackId{own_names | ++last_name_} : first;
}

StackId StackGroups::of(StackId id) const {
  const auto member = members_.find(id);
  return member == members_.end() ? id : member->second.group;
}

bool StackGroups::leave(StackId id) {
  const auto member = members_.find(id);
  if (member == members_.end()) return true;
  const StackId group = member->second.group;
  members_.erase(member);
  if (--sizes_[group] > 0) return false;
  drop(group);
  return true;
}

void StackGroups::drop(StackId group) {
  sizes_.erase(group);
  const auto hash = hashes_.find(group);
  if (hash == hashes_.end()) return;
  const auto groups = by_hash_.find(hash->second);
  if (groups != by_hash_.end()) {
    std::erase(groups->second, group);
    if (groups->second.empty()) by_hash_.erase(groups);
  }
  hashes_.erase(hash);
}

void StackGroups::forget(ImageId image) {
  std::vector<StackId> gone;
  for (const auto& [id, member] : members_) {
    if (member.image == image) gone.push_back(id);
  }
  for (StackId id : gone) leave(id);
}

}  // namespace leaktrace::model
