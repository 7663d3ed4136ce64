// SPDX-License-Identifier: Apache-2.0
#include "user/collect/window_history.h"

#include <algorithm>

namespace leaktrace::collect {

void WindowHistory::add(Window window) {
  if (!spans_.empty()) window.from_ns = std::max(window.from_ns, spans_.back().window.to_ns);
  window.to_ns = std::max(window.from_ns, window.to_ns);
  const std::uint64_t before =
      spans_.empty() ? 0 : spans_.back().observed_before + spans_.back().observed;
  spans_.push_back({window, window.to_ns - window.from_ns, 1, before});
  if (spans_.size() > kMostWindows) halve_oldest();
}

std::size_t WindowHistory::span_of(std::uint64_t acquired_ns) const {
  const auto after =
      std::upper_bound(spans_.begin(), spans_.end(), acquired_ns,
                       [](std::uint64_t at, const Span& span) { return at < span.window.from_ns; });
  const auto index = static_cast<std::size_t>(after - spans_.begin());
  return index == 0 ? 0 : index - 1;
}

std::uint64_t WindowHistory::observed_until(std::uint64_t at_ns) const {
  if (spans_.empty() || at_ns <= spans_.front().window.from_ns) return 0;
  const Span& span = spans_[span_of(at_ns)];
  if (at_ns >= span.window.to_ns) return span.observed_before + span.observed;
  const auto length = static_cast<double>(span.window.to_ns - span.window.from_ns);
  const double share = static_cast<double>(at_ns - span.window.from_ns) / length;
  return span.observed_before +
         static_cast<std::uint64_t>(share * static_cast<double>(span.observed));
}

void WindowHistory::halve_oldest() {
  std::size_t kept = 0;
  const std::size_t oldest = spans_.size() / 2;
  for (std::size_t i = 0; i + 1 < oldest; i += 2) {
    Span merged = spans_[i];
    merged.window.to_ns = spans_[i + 1].window.to_ns;
    merged.observed += spans_[i + 1].observed;
    merged.windows += spans_[i + 1].windows;
    spans_[kept++] = merged;
  }
  const auto from = spans_.begin() + static_cast<std::ptrdiff_t>(oldest & ~std::size_t{1});
  spans_.erase(spans_.begin() + static_cast<std::ptrdiff_t>(kept), from);
}

}  // namespace leaktrace::collect
