// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/target_clock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace leaktrace::tracer {
namespace {

std::uint64_t own_cpu_ns() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<std::uint64_t>(used.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(used.tv_nsec);
}

TEST(TargetClock, IsTheProcessesOwnWithAllItsThreads) {
  const std::uint64_t before = own_cpu_ns();
  std::thread([] {
    const std::uint64_t from = own_cpu_ns();
    while (own_cpu_ns() - from < 2'000'000) {
    }
  }).join();  // has ended, and counts
  const std::uint64_t used = process_cpu_ns(::getpid());
  EXPECT_GE(used, before + 2'000'000);
  EXPECT_LE(used, own_cpu_ns());
}

TEST(TargetClock, OfAnEndedProcessIsThereUntilItIsWaitedFor) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_GT(process_cpu_ns(child), 0U);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(process_cpu_ns(child), 0U);
}

}  // namespace
}  // namespace leaktrace::tracer
