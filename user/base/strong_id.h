// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace leaktrace {

/// A number that cannot be mistaken for another number: StrongId<struct FooTag, uint32_t>.
template <typename Tag, typename Number>
struct StrongId {
  Number value{};
  auto operator<=>(const StrongId&) const = default;
};

}  // namespace leaktrace

template <typename Tag, typename Number>
struct std::hash<leaktrace::StrongId<Tag, Number>> {
  std::size_t operator()(leaktrace::StrongId<Tag, Number> id) const noexcept {
    return std::hash<Number>{}(id.value);
  }
};
