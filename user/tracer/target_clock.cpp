// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/target_clock.h"

#include <time.h>

namespace leaktrace::tracer {

std::uint64_t process_cpu_ns(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<std::uint64_t>(used.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(used.tv_nsec);
}

}  // namespace leaktrace::tracer
