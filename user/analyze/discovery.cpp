// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/discovery.h"

#include <algorithm>

namespace leaktrace::analyze {

std::vector<double> false_discovery(std::span<const double> p_values) {
  std::vector<double> adjusted(p_values.size(), 1.0);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p_values.size(); ++i) {
    if (p_values[i] >= 0 && p_values[i] < 1) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  const auto tests = static_cast<double>(order.size());
  double least = 1;
  for (std::size_t rank = order.size(); rank > 0; --rank) {
    const std::size_t i = order[rank - 1];
    least = std::min(least, p_values[i] * tests / static_cast<double>(rank));
    adjusted[i] = least;
  }
  return adjusted;
}

}  // namespace leaktrace::analyze
