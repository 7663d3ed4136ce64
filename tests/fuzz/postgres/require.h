// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include <cstdlib>
#include <string_view>

namespace leaktrace::fuzz {

inline void require(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "broken: {}\n", what);
  std::abort();
}

}  // namespace leaktrace::fuzz
