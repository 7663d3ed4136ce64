// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace leaktrace::collect {

/// A time in which probes were attached; CLOCK_MONOTONIC nanoseconds.
struct Window {
  std::uint64_t from_ns = 0;
  std::uint64_t to_ns = 0;
  bool operator==(const Window&) const = default;
};

/// When probes were attached. Bounded: beyond kMostWindows the oldest are kept two and two, as a
/// span of which a share was observed.
class WindowHistory {
 public:
  static constexpr std::size_t kMostWindows = 4096;

  /// Windows that were observed, one or (old ones) several.
  struct Span {
    Window window;               ///< from the first one's begin to the last one's end
    std::uint64_t observed = 0;  ///< nanoseconds
    std::uint32_t windows = 1;
    std::uint64_t observed_before = 0;  ///< by all spans before
  };

  /// Later windows come later. One that ends before it begins, or begins before the newest has
  /// ended, is cut to what is new.
  void add(Window window);

  [[nodiscard]] const std::vector<Span>& spans() const { return spans_; }
  /// The span that a block acquired at this time belongs to: the last that had begun by then.
  /// There must be one span at least.
  [[nodiscard]] std::size_t span_of(std::uint64_t acquired_ns) const;
  /// How long probes were attached before this time; within a span of several windows, as if
  /// evenly.
  [[nodiscard]] std::uint64_t observed_until(std::uint64_t at_ns) const;

 private:
  void halve_oldest();

  std::vector<Span> spans_;
};

}  // namespace leaktrace::collect
