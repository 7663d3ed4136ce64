// SPDX-License-Identifier: Apache-2.0
// What happens when a program goes through more call stacks than the tables hold: those that hold
// nothing make room, and no count is lost or wrong for it.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/engine/traced_child.h"

namespace leaktrace::test {
namespace {

using model::Kind;
using tracer::ProbeMode;

constexpr std::uint64_t kMaxStacks = 256;
constexpr int kPathBits = 14;
constexpr std::uintptr_t kPage = 4096;

void* at(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

// The bits of a number choose the way down, so each number is a stack of its own. Neither function
// may be inlined, nor its call turned into a jump.
using Work = void (*)(std::uint64_t);
[[gnu::noinline]] void go_down(std::uint64_t path, int bits, Work work, std::uint64_t argument);

[[gnu::noinline]] void go_aside(std::uint64_t path, int bits, Work work, std::uint64_t argument) {
  go_down(path, bits, work, argument);
  asm volatile("" ::: "memory");
}

[[gnu::noinline]] void go_down(std::uint64_t path, int bits, Work work, std::uint64_t argument) {
  if (bits == 0) {
    work(argument);
  } else if ((path & 1) == 0) {
    go_down(path >> 1, bits - 1, work, argument);
  } else {
    go_aside(path >> 1, bits - 1, work, argument);
  }
  asm volatile("" ::: "memory");
}

void acquire_heap(std::uint64_t handle) {
  hooked_acquire(at(handle), 10);
}

void map_page(std::uint64_t address) {
  hooked_map(at(address), kPage, 0);
}

/// What the child has done, shared with it.
struct Truth {
  std::atomic<std::uint64_t> next_path;
  std::atomic<std::uint64_t> acquired;
  std::atomic<std::uint64_t> released;
  std::atomic<bool> stop;
};

class Shared {
 public:
  Shared()
      : truth_(new (::mmap(nullptr, sizeof(Truth), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Truth{}) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { ::munmap(truth_, sizeof(Truth)); }
  [[nodiscard]] Truth* get() const { return truth_; }
  Truth* operator->() const { return truth_; }

 private:
  Truth* truth_;
};

/// Entries of the table of stacks that are of second places.
std::size_t second_places(TracedHooks& hooks) {
  const int stacks = hooks.tracer().engine().maps().call_stacks;
  std::size_t found = 0;
  std::uint64_t id = 0;
  for (int error = bpf_map_get_next_key(stacks, nullptr, &id); error == 0;
       error = bpf_map_get_next_key(stacks, &id, &id)) {
    if ((id & LT_STACK_SECOND_PLACE) != 0) ++found;
  }
  return found;
}

class RecyclingTest : public ProbeModeTest {
 protected:
  static TracedHooks::Options options() {
    TracedHooks::Options options;
    options.mode = GetParam();
    options.limits.stacks = kMaxStacks;
    return options;
  }

  /// Every block that the walk found is of a site that the counters know, and the other way round.
  static void expect_counters_and_blocks_agree(const TracedHooks& hooks) {
    std::map<model::SiteKey, std::uint64_t> blocks;
    for (const model::Block& block : hooks.trace_model().blocks()->blocks) ++blocks[block.site];
    for (const auto& [key, site] : hooks.trace_model().sites()) {
      EXPECT_EQ(site.counters.outstanding_count(), blocks[key]) << std::hex << key.stack.value;
      if (key.stack.value > 1) {
        EXPECT_NE(hooks.trace_model().stack(key.stack), nullptr) << std::hex << key.stack.value;
      }
    }
    EXPECT_LE(blocks.size(), hooks.trace_model().sites().size());
  }
};

TEST_P(RecyclingTest, StacksThatHoldNothingMakeRoom) {
  constexpr std::uint64_t kStacksARound = 40;
  constexpr int kRounds = 30;
  Shared truth;
  Child child([&truth] {
    for (std::uint64_t i = 0; i < kStacksARound; ++i) {
      const std::uint64_t path = truth->next_path++;
      go_down(path, kPathBits, acquire_heap, 64 + path * 64);
      hooked_release(at(64 + path * 64));
      go_down(path, kPathBits, map_page, kPage + path * kPage);
      hooked_unmap(at(kPage + path * kPage), kPage, 0);
    }
    // Of each round one stack leaks.
    go_down(truth->next_path++, kPathBits, acquire_heap, 64 + truth->next_path * 64);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  std::uint64_t most_stacks = 0;
  for (int pass = 0; pass < 2; ++pass) {  // the second time over the same stacks
    if (pass == 1) truth->next_path = 0;
    for (int round = pass == 0 ? 1 : 0; round < kRounds; ++round) {
      ASSERT_TRUE(child.work());
      hooks.read();
      most_stacks = std::max<std::uint64_t>(most_stacks, hooks.trace_model().stacks().size());
      const model::Counters heap = hooks.total(Kind::heap);
      const auto rounds = static_cast<std::uint64_t>(pass * kRounds + round + 1);
      ASSERT_EQ(heap.acquired_count, rounds * (kStacksARound + 1)) << "round " << rounds;
      ASSERT_EQ(hooks.total(Kind::mmap).acquired_bytes, rounds * kStacksARound * kPage);
    }
  }
  EXPECT_EQ(hooks.losses_but({LT_LOSS_MISSED_RELEASE}), 0U);
  EXPECT_EQ(hooks.loss(LT_LOSS_STACK_TABLE_FULL), 0U);
  EXPECT_GT(hooks.trace_model().recycled_stacks(), 1500U);
  EXPECT_LE(most_stacks, kMaxStacks);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_count(), 0U);
  // The leaks of the second pass have the handles of the first.
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_count(), kRounds);
  EXPECT_EQ(hooks.loss(LT_LOSS_MISSED_RELEASE), kRounds);
  expect_counters_and_blocks_agree(hooks);
}

// A stack that is entered again while it retires is at its second place in the tables then, and one
// site to whoever reads the report.
TEST_P(RecyclingTest, AStackThatIsUsedWhileItRetiresStaysOneSite) {
  constexpr std::uint64_t kPaths = 460;
  constexpr int kMostRounds = 10;
  Shared truth;
  Child child([&truth] {
    const std::uint64_t first = truth->next_path;
    for (std::uint64_t path = first; path < first + kPaths; ++path) {
      go_down(path, kPathBits, acquire_heap, 64 + path * 64);
      ++truth->acquired;
      if (truth->stop) {  // walk slowly and keep
        ::usleep(500);
        continue;
      }
      hooked_release(at(64 + path * 64));
      ++truth->released;
    }
  });
  TracedHooks::Options settings = options();
  settings.limits.stacks = 512;
  TracedHooks hooks(settings);
  auto attached = hooks.tracer().attach(child.pid());
  ASSERT_TRUE(attached) << attached.error().message();
  std::size_t at_second_place = 0;
  for (int round = 0; round < kMostRounds && at_second_place == 0; ++round) {
    truth->stop = false;
    ASSERT_TRUE(child.work());  // closes what the round before kept, as a missed release
    hooks.read();
    truth->stop = true;
    std::thread worker([&child] { EXPECT_TRUE(child.work()); });
    while (truth->acquired % kPaths == 0) std::this_thread::yield();
    hooks.read();
    at_second_place = second_places(hooks);
    worker.join();
    hooks.read();
    const model::Counters heap = hooks.total(Kind::heap);
    EXPECT_EQ(heap.acquired_count, truth->acquired);
    EXPECT_EQ(heap.outstanding_count(), kPaths);
    expect_counters_and_blocks_agree(hooks);
  }
  EXPECT_GT(at_second_place, 0U);
  EXPECT_GT(hooks.trace_model().recycled_stacks(), 0U);
  EXPECT_EQ(hooks.losses_but({LT_LOSS_MISSED_RELEASE, LT_LOSS_STACK_TABLE_FULL}), 0U);
}

// Threads acquire at stacks that are being retired, at any moment of it: what they counted
// themselves is what is reported.
TEST_P(RecyclingTest, ThreadsUseStacksWhileTheyAreRecycled) {
  constexpr int kThreads = 3;
  constexpr std::uint64_t kPaths = 600;
  Shared truth;
  Child child([&truth] {
    std::vector<std::thread> threads;
    for (std::uint64_t number = 0; number < kThreads; ++number) {
      threads.emplace_back([&truth, number] {
        std::uint64_t seed = number + 1;
        std::uint64_t handle = (number + 1) << 40;
        for (std::uint64_t i = 1; !truth->stop; ++i) {
          seed = seed * 6364136223846793005U + 1442695040888963407U;
          // A walk through the paths, so that some are left alone for a while and then come back.
          const std::uint64_t path = (i / 200 * 40 + (seed >> 60) * 16 + number) % kPaths;
          handle += 64;
          go_down(path, kPathBits, acquire_heap, handle);
          ++truth->acquired;
          if (i % 1000 == 0) continue;
          hooked_release(at(handle));
          ++truth->released;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  TracedHooks hooks(options());
  auto attached = hooks.tracer().attach(child.pid());
  ASSERT_TRUE(attached) << attached.error().message();
  std::thread worker([&child] { EXPECT_TRUE(child.work()); });
  std::uint64_t before = 0;
  for (int reading = 0; reading < 60; ++reading) {
    hooks.read();
    const std::uint64_t acquired = hooks.total(Kind::heap).acquired_count;
    EXPECT_GE(acquired, before);  // totals never fall
    before = acquired;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  truth->stop = true;
  worker.join();
  hooks.read();
  const model::Counters heap = hooks.total(Kind::heap);
  EXPECT_EQ(heap.acquired_count, truth->acquired);
  EXPECT_EQ(heap.acquired_bytes, truth->acquired * 10);
  EXPECT_EQ(heap.released_count, truth->released);
  EXPECT_EQ(heap.released_bytes, truth->released * 10);
  EXPECT_GT(hooks.trace_model().recycled_stacks(), 0U);
  EXPECT_EQ(hooks.losses_but({LT_LOSS_STACK_TABLE_FULL}), 0U);
  expect_counters_and_blocks_agree(hooks);
}

INSTANTIATE_TEST_SUITE_P(Modes, RecyclingTest, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
