// SPDX-License-Identifier: Apache-2.0
// What things are called in a trace. The numbers come from the BPF side (include/leaktrace/abi.h)
// and are kept in recordings.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "user/base/strong_id.h"

namespace leaktrace::model {

/// One address space of one process; exec and fork begin a new one.
using ImageId = StrongId<struct ImageTag, std::uint32_t>;
/// A call stack, as the 64-bit hash of its image and frames. 0: the stack found no room.
using StackId = StrongId<struct StackTag, std::uint64_t>;
/// Stands for all stacks of an image that were recycled: what their sites acquired and released.
inline constexpr StackId kRecycledStack{1};
/// A mapped file (or the like) that code comes from. 0: none is known.
using ModuleId = StrongId<struct ModuleTag, std::uint32_t>;

/// What a resource is; the values are enum lt_kind's.
enum class Kind : std::uint32_t { heap = 1, mmap = 2 };

/// The kind's name in options and JSON ("heap", "mmap").
[[nodiscard]] std::string_view kind_name(Kind kind);
/// The kind of that name, if there is one.
[[nodiscard]] std::optional<Kind> kind_from_name(std::string_view name);

/// A call site: one kind of resource, acquired at one stack of one image.
struct SiteKey {
  StackId stack;
  ImageId image;
  Kind kind = Kind::heap;
  auto operator<=>(const SiteKey&) const = default;
};

}  // namespace leaktrace::model

template <>
struct std::hash<leaktrace::model::SiteKey> {
  std::size_t operator()(const leaktrace::model::SiteKey& key) const noexcept {
    return static_cast<std::size_t>(key.stack.value ^
                                    (std::uint64_t{key.image.value} * 0x9e3779b97f4a7c15ULL) ^
                                    static_cast<std::uint64_t>(key.kind));
  }
};
