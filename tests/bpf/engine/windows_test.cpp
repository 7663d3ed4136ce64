// SPDX-License-Identifier: Apache-2.0
// Probes that are attached part of the time: what was released in between is no leak, what was not
// is one, and a handle that is given out again closes the old block without a loss.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <thread>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/engine/traced_child.h"
#include "user/tracer/link_keeper.h"

namespace leaktrace::test {
namespace {

using model::Kind;
using namespace std::chrono_literals;

void* at(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

[[gnu::noinline]] void leak(std::uintptr_t handle) {
  hooked_acquire(at(handle), 100);
  asm volatile("" ::: "memory");
}

[[gnu::noinline]] void borrow(std::uintptr_t handle) {
  hooked_acquire(at(handle), 10);
  asm volatile("" ::: "memory");
}

/// What the child is to do next, shared with it.
struct Plan {
  std::uintptr_t leak_from = 0;
  std::uintptr_t borrow_from = 0;
  std::uint64_t count = 0;
  std::uint64_t release_at_once = 0;  // of the borrowed, so many
  std::uintptr_t release_from = 0;
  std::uint64_t release_count = 0;
};

class WindowsTest : public ProbeModeTest {
 protected:
  WindowsTest()
      : plan_(new (::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) Plan{}) {}
  ~WindowsTest() override { ::munmap(plan_, sizeof(Plan)); }

  static TracedHooks::Options options() {
    TracedHooks::Options options;
    options.mode = GetParam();
    return options;
  }

  static void work(const Plan& plan) {
    for (std::uint64_t i = 0; i < plan.count; ++i) {
      if (plan.leak_from != 0) leak(plan.leak_from + i * 64);
      if (plan.borrow_from != 0) borrow(plan.borrow_from + i * 64);
      if (i < plan.release_at_once) hooked_release(at(plan.borrow_from + i * 64));
    }
    for (std::uint64_t i = 0; i < plan.release_count; ++i) {
      hooked_release(at(plan.release_from + i * 64));
    }
  }

  void begin_window(TracedHooks& hooks) {
    from_ns_ = monotonic_ns();
    auto resumed = hooks.tracer().resume();
    ASSERT_TRUE(resumed) << resumed.error().message();
  }

  void end_window(TracedHooks& hooks) const {
    const std::uint64_t to_ns = monotonic_ns();
    hooks.tracer().pause();
    const std::uint64_t until_ns = to_ns + 10'000'000'000;
    const auto& keeper = tracer::LinkKeeper::current()->state();
    while (keeper.window != tracer::WindowState::closed && monotonic_ns() < until_ns) {
      std::this_thread::sleep_for(1ms);
    }
    ASSERT_EQ(keeper.window, tracer::WindowState::closed);
    auto ended = hooks.source().end_window(from_ns_, to_ns);
    ASSERT_TRUE(ended) << ended.error().message();
  }

  /// Outstanding at the site that acquires blocks of this size.
  static model::Counters site(const TracedHooks& hooks, std::uint64_t size) {
    for (const auto& [key, site] : hooks.trace_model().sites()) {
      if (key.kind != Kind::heap || site.counters.acquired_count == 0) continue;
      if (site.counters.acquired_bytes / site.counters.acquired_count == size) {
        return site.counters;
      }
    }
    return {};
  }

  Plan* plan_;
  std::uint64_t from_ns_ = monotonic_ns();
};

TEST_P(WindowsTest, WhatIsReleasedUnseenIsNoLeak) {
  constexpr std::uint64_t kBlocks = 40;
  constexpr int kWindows = 4;
  Child child([this] { work(*plan_); });
  TracedHooks hooks(options());
  auto attached = hooks.tracer().attach(child.pid());
  ASSERT_TRUE(attached) << attached.error().message();
  end_window(hooks);

  for (std::uintptr_t window = 0; window < kWindows; ++window) {
    const std::uintptr_t first = 0x100000 * (window + 1);
    begin_window(hooks);
    *plan_ = {.leak_from = first,
              .borrow_from = first + 0x10000,
              .count = kBlocks,
              .release_at_once = kBlocks};
    ASSERT_TRUE(child.work());
    std::this_thread::sleep_for(200ms);  // leaks are watched, and stay
    *plan_ = {.borrow_from = first + 0x10000, .count = kBlocks, .release_at_once = kBlocks - 4};
    ASSERT_TRUE(child.work());
    end_window(hooks);
    *plan_ = {.release_from = first + 0x10000 + (kBlocks - 4) * 64, .release_count = 4};
    ASSERT_TRUE(child.work());
    std::this_thread::sleep_for(100ms);
  }
  begin_window(hooks);
  end_window(hooks);
  hooks.read();

  const model::Counters leaked = site(hooks, 100);
  EXPECT_EQ(leaked.acquired_count, kBlocks * kWindows);
  EXPECT_GT(leaked.outstanding_count(), kBlocks * kWindows / 2);
  const model::Counters borrowed = site(hooks, 10);
  EXPECT_EQ(borrowed.acquired_count, 2 * kBlocks * kWindows);
  EXPECT_EQ(borrowed.released_count, (2 * kBlocks - 4) * kWindows);
  EXPECT_LE(borrowed.outstanding_count(), kWindows);
  EXPECT_EQ(borrowed.estimate.unseen_count + borrowed.outstanding_count(), 4U * kWindows);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(WindowsTest, AHandleThatIsGivenOutAgainClosesTheOldBlockWithoutALoss) {
  constexpr std::uint64_t kBlocks = 10;
  Child child([this] { work(*plan_); });
  TracedHooks hooks(options());
  *plan_ = {.borrow_from = 0x100000, .count = kBlocks};
  hooks.trace(child);
  end_window(hooks);
  *plan_ = {.release_from = 0x100000, .release_count = kBlocks};
  ASSERT_TRUE(child.work());

  begin_window(hooks);
  *plan_ = {.leak_from = 0x100000, .count = kBlocks};
  ASSERT_TRUE(child.work());
  end_window(hooks);
  hooks.read();
  EXPECT_EQ(site(hooks, 10).released_count, kBlocks);
  EXPECT_EQ(site(hooks, 10).outstanding_count(), 0U);
  EXPECT_EQ(site(hooks, 100).outstanding_count(), kBlocks);
  EXPECT_EQ(hooks.loss(LT_LOSS_MISSED_RELEASE), 0U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, WindowsTest, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
