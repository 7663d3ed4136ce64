// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>

namespace leaktrace {

/// A clock of clock_gettime(2), in nanoseconds.
[[nodiscard]] inline std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns() has it: a suspended machine's time does
/// not count.
[[nodiscard]] inline std::uint64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

}  // namespace leaktrace
