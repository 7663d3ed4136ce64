// SPDX-License-Identifier: Apache-2.0
// A stack that is recalled (bpf/lib/recall.bpf.h) is the one that a walk would find: calls from the
// same place at the same depth, by different ways.
#include <alloca.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/engine/traced_child.h"

namespace leaktrace::test {
namespace {

using model::Kind;

constexpr int kRounds = 200;
std::uintptr_t next_handle = 0;

// Ways to one place. They differ in nothing but the return address that they leave on the stack.
[[gnu::noinline]] void acquire_here(std::size_t size) {
  next_handle += 64;
  hooked_acquire(reinterpret_cast<void*>(next_handle), size);
  asm volatile("" : : : "memory");
}

[[gnu::noinline]] void by_way(int way, std::size_t size) {
  switch (way) {  // one frame, a return address for each
    case 0:
      acquire_here(size);
      asm volatile("" : : "r"(0) : "memory");
      break;
    case 1:
      acquire_here(size);
      asm volatile("" : : "r"(1) : "memory");
      break;
    default:
      acquire_here(size);
      asm volatile("" : : "r"(2) : "memory");
  }
  asm volatile("" : : : "memory");
}

// The frame is as large as it is told: its caller is found by the frame pointer.
[[gnu::noinline]] void by_frame_pointer(std::size_t bytes, int way) {
  void* room = alloca(bytes);
  std::memset(room, way, bytes);
  asm volatile("" : : "r"(room) : "memory");
  by_way(way, 1);
  asm volatile("" : : "r"(room) : "memory");
}

class RecallTest : public ProbeModeTest {
 protected:
  static TracedHooks::Options options() {
    TracedHooks::Options options;
    options.mode = GetParam();
    return options;
  }

  /// Acquired counts of the sites, smallest first.
  static std::multiset<std::uint64_t> counts(const TracedHooks& hooks) {
    std::multiset<std::uint64_t> counts;
    for (const auto& [key, site] : hooks.trace_model().sites()) {
      counts.insert(site.counters.acquired_count);
    }
    return counts;
  }
};

TEST_P(RecallTest, WaysThatAlternateAreToldApart) {
  Child child([] {
    for (int i = 0; i < kRounds; ++i) {
      by_way(0, 1);
      by_way(1, 1);
      if (i % 2 == 0) by_way(2, 1);
    }
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(counts(hooks), (std::multiset<std::uint64_t>{kRounds / 2, kRounds, kRounds}));
}

TEST_P(RecallTest, FramesOfChangingSizeAreFollowed) {
  Child child([] {
    for (int i = 0; i < kRounds; ++i) {
      for (int way = 0; way < 3; ++way) {
        by_frame_pointer(static_cast<std::size_t>(64 * (1 + i % 7)), way);
      }
    }
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(counts(hooks), (std::multiset<std::uint64_t>{kRounds, kRounds, kRounds}));
}

TEST_P(RecallTest, AStackComesBackAfterItWasRecycled) {
  TracedHooks::Options few = options();
  few.limits.stacks = 16;
  Child child([] {
    for (int i = 0; i < kRounds; ++i) {
      by_way(0, 1);
      hooked_release(reinterpret_cast<void*>(next_handle));
      by_way(1, 1);
      hooked_release(reinterpret_cast<void*>(next_handle));
    }
  });
  TracedHooks hooks(few);
  hooks.trace(child);
  std::uint64_t expected = 2 * kRounds;
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, expected);
  for (int again = 0; again < 3; ++again) {
    ASSERT_TRUE(child.work());
    hooks.read();
    expected += 2 * kRounds;
    EXPECT_EQ(hooks.total(Kind::heap).acquired_count, expected);
    EXPECT_EQ(hooks.total(Kind::heap).outstanding_count(), 0U);
  }
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, RecallTest, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
