// SPDX-License-Identifier: Apache-2.0
// A stack has two places in the kernel's tables (LT_STACK_SECOND_PLACE in leaktrace/abi.h); what
// reads the kernel side deals in places, the stream of records in stacks.
#pragma once

#include "leaktrace/abi.h"
#include "user/base/strong_id.h"
#include "user/model/ids.h"

namespace leaktrace::collect {

using StackPlace = StrongId<struct StackPlaceTag, std::uint64_t>;

static_assert(model::kRecycledStack.value == LT_STACK_ID_RECYCLED);

[[nodiscard]] inline model::StackId stack_at(StackPlace place) {
  return {place.value & ~LT_STACK_SECOND_PLACE};
}

/// The stack's place beside this one.
[[nodiscard]] inline StackPlace other_place(StackPlace place) {
  return {place.value ^ LT_STACK_SECOND_PLACE};
}

[[nodiscard]] inline bool is_second(StackPlace place) {
  return (place.value & LT_STACK_SECOND_PLACE) != 0;
}

/// One entry of the kernel's table of call sites.
struct SiteEntry {
  StackPlace place;
  model::ImageId image;
  model::Kind kind = model::Kind::heap;
  bool operator==(const SiteEntry&) const = default;
};

[[nodiscard]] inline model::SiteKey site_of(const SiteEntry& entry) {
  return {stack_at(entry.place), entry.image, entry.kind};
}

}  // namespace leaktrace::collect
