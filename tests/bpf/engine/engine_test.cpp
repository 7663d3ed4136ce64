// SPDX-License-Identifier: Apache-2.0
// The rules that keep the count true (design, section 2), each tried on functions of hooked.h in a
// child process, with every way of attaching that this kernel has.
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/engine/traced_child.h"

namespace leaktrace::test {
namespace {

using model::Kind;
using tracer::ProbeMode;

void* at(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

constexpr int kMapFixed = 0x10;
constexpr int kRemapDontUnmap = 4;

class EngineTest : public ProbeModeTest {
 protected:
  static TracedHooks::Options options() {
    TracedHooks::Options options;
    options.mode = GetParam();
    return options;
  }
};

TEST_P(EngineTest, CountsWhatIsAcquiredAndReleased) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= 100; ++i) hooked_acquire(at(i * 64), i);
    for (std::uintptr_t i = 1; i <= 50; ++i) hooked_release(at(i * 64));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  model::Counters heap = hooks.total(Kind::heap);
  EXPECT_EQ(heap.acquired_count, 100U);
  EXPECT_EQ(heap.acquired_bytes, 5050U);
  EXPECT_EQ(heap.released_count, 50U);
  EXPECT_EQ(heap.released_bytes, 1275U);
  EXPECT_EQ(hooks.blocks(Kind::heap), 50U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, FailedCallAcquiresNothing) {
  Child child([] { hooked_acquire(nullptr, 10); });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 0U);
}

TEST_P(EngineTest, ReleaseOfNullIsNothing) {
  Child child([] { hooked_release(nullptr); });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, WeightOfAProductAndItsOverflow) {
  Child child([] {
    hooked_acquire_product(at(64), 3, 100);
    hooked_acquire_product(nullptr, SIZE_MAX, 2);  // a calloc that overflows fails
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 1U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_bytes, 300U);
}

TEST_P(EngineTest, HandleBehindAPointerAndItsStatus) {
  Child child([] {
    void* where = nullptr;
    hooked_acquire_into(&where, 10, at(64), 0);
    hooked_acquire_into(&where, 20, at(128), 12);  // ENOMEM: nothing was acquired
    hooked_release(at(64));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 1U);
  EXPECT_EQ(hooks.total(Kind::heap).released_bytes, 10U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, UnreadableHandleIsAReadFaultAndCountsNothing) {
  Child child([] { hooked_acquire_into(reinterpret_cast<void**>(8), 10, at(64), 0); });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.loss(LT_LOSS_READ_FAULT), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 0U);
}

TEST_P(EngineTest, ReplaceClosesTheOldOneOnlyOnSuccess) {
  Child child([] {
    hooked_acquire(at(64), 10);
    hooked_replace(at(64), SIZE_MAX / 2, nullptr);  // fails: the old block is still there
    hooked_acquire(at(128), 20);
    hooked_replace(at(128), 200, at(192));  // moves
    hooked_replace(at(192), 300, at(192));  // in place
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  model::Counters heap = hooks.total(Kind::heap);
  EXPECT_EQ(heap.outstanding_count(), 2U);
  EXPECT_EQ(heap.outstanding_bytes(), 310U);
  EXPECT_EQ(hooks.blocks(Kind::heap), 2U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, ReplaceToSizeZeroReleases) {
  Child child([] {
    hooked_acquire(at(64), 10);
    hooked_replace(at(64), 0, nullptr);
    hooked_replace(nullptr, 5, at(128));  // of NULL: an acquire
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_count(), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 5U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, NestedCallsCountOnceAtTheOutermost) {
  Child child([] { hooked_outer_acquire(at(64), 10); });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 1U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, TailCallCountsOnce) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= 10; ++i) hooked_tail_acquire(at(i * 64), 10);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 10U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, ReplaceMadeOfAcquireAndReleaseCountsOnce) {
  Child child([] {
    hooked_acquire(at(64), 10);
    hooked_outer_replace(at(64), 20, at(128));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_count(), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 20U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 2U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, HandleThatIsLiveAlreadyIsAMissedRelease) {
  Child child([] {
    hooked_acquire(at(64), 10);
    hooked_acquire(at(64), 30);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.loss(LT_LOSS_MISSED_RELEASE), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_count(), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 30U);
}

TEST_P(EngineTest, ReleaseOfWhatWasNeverSeenIsUnmatched) {
  Child child([] { hooked_release(at(64)); });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.loss(LT_LOSS_UNMATCHED_RELEASE), 1U);
  EXPECT_EQ(hooks.total(Kind::heap).released_count, 0U);
}

TEST_P(EngineTest, ReleaseMadeOfAReleaseCountsOnce) {
  Child child([] {
    hooked_acquire(at(64), 10);
    hooked_outer_release(at(64));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).released_count, 1U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, HandlesAreKeyedByProcess) {
  auto acquire = [] { hooked_acquire(at(64), 10); };
  Child keeper(acquire);
  Child releaser([&] {
    acquire();
    hooked_release(at(64));
  });
  TracedHooks hooks(options());
  hooks.trace(keeper);
  hooks.trace(releaser);
  EXPECT_EQ(hooks.total(Kind::heap, keeper.pid()).outstanding_count(), 1U);
  EXPECT_EQ(hooks.total(Kind::heap, releaser.pid()).outstanding_count(), 0U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

jmp_buf jump_target;

/// Calls from further down the stack than anything that was called before.
__attribute__((noipa)) void call_with_deep_stack(void (*function)()) {
  volatile char room[4096];
  for (volatile char& byte : room) byte = 1;
  function();
}

/// It did not pass any of its return instructions: it has acquired nothing, and nothing is lost.
TEST_P(EngineTest, CallLeftByLongjmpIsAbandonedAndHidesNothing) {
  Child child([] {
    if (setjmp(jump_target) == 0) {
      hooked_acquire_around(at(64), 10, [] { longjmp(jump_target, 1); });
    }
    hooked_acquire(at(128), 20);
    hooked_acquire(at(192), 30);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 2U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_bytes, 50U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

/// What throws leaves its place on the stack to others: a deeper call is not part of it.
TEST_P(EngineTest, CallLeftFromDeepInTheStackHidesNoDeeperCall) {
  Child child([] {
    if (setjmp(jump_target) == 0) {
      hooked_acquire_around(at(64), 10, [] { longjmp(jump_target, 1); });
    }
    call_with_deep_stack([] { hooked_acquire(at(128), 20); });
    hooked_acquire(at(192), 30);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 2U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_bytes, 50U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, FullLiveTableStoresNothingAndCountsIt) {
  TracedHooks::Options small = options();
  small.limits.live = 64;
  Child child([] {
    for (std::uintptr_t i = 1; i <= 4096; ++i) hooked_acquire(at(i * 64), 8);
  });
  TracedHooks hooks(small);
  hooks.trace(child);
  model::Counters heap = hooks.total(Kind::heap);
  EXPECT_GT(hooks.loss(LT_LOSS_LIVE_TABLE_FULL), 0U);
  EXPECT_EQ(heap.acquired_count + hooks.loss(LT_LOSS_LIVE_TABLE_FULL), 4096U);
  EXPECT_EQ(heap.outstanding_count(), hooks.blocks(Kind::heap));
  EXPECT_EQ(hooks.losses_but({LT_LOSS_LIVE_TABLE_FULL}), 0U);
}

TEST_P(EngineTest, LiveTableHoldsAllThatItIsMadeFor) {
  constexpr std::uintptr_t kBlocks = 20'000;
  TracedHooks::Options small = options();
  small.limits.live = kBlocks;
  Child child([] {
    for (std::uintptr_t i = 1; i <= kBlocks; ++i) hooked_acquire(at(i * 64), 8);
    for (std::uintptr_t i = 1; i <= kBlocks; i += 2) hooked_release(at(i * 64));
  });
  TracedHooks hooks(small);
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, kBlocks);
  EXPECT_EQ(hooks.total(Kind::heap).released_count, kBlocks / 2);
  EXPECT_EQ(hooks.blocks(Kind::heap), kBlocks / 2);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

// A chain of calls whose stacks differ in `depth` frames' call sites.
template <int site>
__attribute__((noinline)) void acquire_at_site(std::uintptr_t base) {
  hooked_acquire(at(base + site * 64), 8);
  asm volatile("" ::: "memory");
}

template <int... sites>
void acquire_at_sites(std::integer_sequence<int, sites...>) {
  (acquire_at_site<sites>(1 << 20), ...);
}

TEST_P(EngineTest, FullStackTableKeepsTheBlocksUnderOneStack) {
  TracedHooks::Options small = options();
  small.limits.stacks = 8;
  Child child([] { acquire_at_sites(std::make_integer_sequence<int, 64>()); });
  TracedHooks hooks(small);
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 64U);
  EXPECT_EQ(hooks.blocks(Kind::heap), 64U);
  EXPECT_GT(hooks.loss(LT_LOSS_STACK_TABLE_FULL), 0U);
  std::uint64_t without_stack = 0;
  for (const auto& [key, site] : hooks.trace_model().sites()) {
    if (key.stack.value == LT_STACK_ID_NONE) without_stack += site.counters.acquired_count;
  }
  EXPECT_EQ(without_stack, hooks.loss(LT_LOSS_STACK_TABLE_FULL));
}

TEST_P(EngineTest, FullSiteTableStoresNothingAndCountsIt) {
  TracedHooks::Options small = options();
  small.limits.sites = 8;
  Child child([] { acquire_at_sites(std::make_integer_sequence<int, 64>()); });
  TracedHooks hooks(small);
  hooks.trace(child);
  std::uint64_t lost = hooks.loss(LT_LOSS_SITE_TABLE_FULL);
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count + lost, 64U);
  EXPECT_EQ(hooks.blocks(Kind::heap) + lost, 64U);
}

TEST_P(EngineTest, FullThreadTableIsCounted) {
  TracedHooks::Options small = options();
  small.limits.threads = 1;
  Child child([] {
    hooked_acquire(at(64), 8);
    std::thread([] { hooked_acquire(at(128), 8); }).join();
    hooked_acquire(at(192), 8);
  });
  TracedHooks hooks(small);
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count + hooks.loss(LT_LOSS_THREAD_TABLE_FULL), 3U);
}

TEST_P(EngineTest, BlocksOfOtherSizesAreNotTraced) {
  TracedHooks::Options sized = options();
  sized.limits.min_size = 100;
  sized.limits.max_size = 200;
  Child child([] {
    for (std::uintptr_t size : {99U, 100U, 200U, 201U}) hooked_acquire(at(size * 64), size);
    for (std::uintptr_t size : {99U, 100U, 200U, 201U}) hooked_release(at(size * 64));
  });
  TracedHooks hooks(sized);
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 2U);
  EXPECT_EQ(hooks.total(Kind::heap).released_bytes, 300U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, PartsOfAMappingAreReleased) {
  Child child([] {
    hooked_map(at(1 << 20), 4 * 4096, 0);
    hooked_unmap(at((1 << 20) + 4096), 4096, 0);
    hooked_unmap(at((1 << 20) + 2 * 4096), 4096, -1);  // fails
    hooked_map(at(-1), 4096, 0);                       // MAP_FAILED
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_count(), 1U);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_bytes(), 3U * 4096);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, LostEventsAreCountedAndMappingsReconciled) {
  constexpr std::uintptr_t kKept = 1 << 20;
  TracedHooks::Options small = options();
  small.limits.ring_bytes = 4096;
  small.mapped = [] {
    return std::vector<collect::MappedImage>{{.image = {1}, .ranges = {{kKept, kKept + 4096}}}};
  };
  Child child([] {
    for (std::uintptr_t i = 0; i < 500; ++i) hooked_map(at(kKept + i * 4096), 4096, 0);
  });
  TracedHooks hooks(small);
  hooks.trace(child);
  model::Counters maps = hooks.total(Kind::mmap);
  EXPECT_GT(hooks.loss(LT_LOSS_RING_OVERFLOW), 0U);
  EXPECT_EQ(maps.outstanding_count(), 1U) << "only one of them is still mapped";
  EXPECT_EQ(hooks.loss(LT_LOSS_MISSED_RELEASE), maps.acquired_count - 1);
  EXPECT_EQ(hooks.losses_but({LT_LOSS_RING_OVERFLOW, LT_LOSS_MISSED_RELEASE}), 0U);
}

TEST_P(EngineTest, RangeThatTheKernelRefusesTakesNothing) {
  Child child([] {
    hooked_map(at(1 << 20), 2 * 4096, 0);
    hooked_unmap(at((1 << 20) + 1), 4096, -1);
    hooked_unmap(at(1 << 20), 0, -1);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_bytes(), 2U * 4096);
  EXPECT_EQ(hooks.total(Kind::mmap).released_count, 0U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, FixedMappingReplacesWithoutAMiss) {
  Child child([] {
    hooked_map(at(1 << 20), 4 * 4096, 0);
    hooked_map(at(1 << 20), 4096, kMapFixed);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_count(), 2U);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_bytes(), 4U * 4096);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, RemapMovesOnlyOnSuccess) {
  Child child([] {
    hooked_map(at(1 << 20), 4096, 0);
    hooked_remap(at(1 << 20), 4096, 8192, 0, at(-1));  // fails
    hooked_remap(at(1 << 20), 4096, 3 * 4096, 0, at(2 << 20));
    hooked_remap(at(2 << 20), 3 * 4096, 4096, kRemapDontUnmap, at(3 << 20));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_count(), 2U);
  EXPECT_EQ(hooks.total(Kind::mmap).outstanding_bytes(), 4U * 4096);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, MappingInsideAHeapCallIsTheAllocatorsOwn) {
  Child child([] {
    hooked_acquire_that_maps(at(64), 10, at(1 << 20), 4096);
    hooked_unmap(at(1 << 20), 4096, 0);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 1U);
  EXPECT_EQ(hooks.total(Kind::mmap).acquired_count, 0U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

// Both CPUs are kept busy by more threads than there are, each at a stack of its own: programs are
// preempted in the middle, and a buffer that two of them shared would mix their stacks up.
template <int site>
__attribute__((noinline)) void hammer(std::uintptr_t base) {
  for (std::uintptr_t i = 0; i < 2000; ++i) {
    hooked_acquire(at(base + i * 64), 8);
    asm volatile("" ::: "memory");
  }
}

TEST_P(EngineTest, StacksSurvivePreemption) {
  Child child([] {
    std::vector<std::thread> threads;
    void (*const work[])(std::uintptr_t) = {hammer<0>, hammer<1>, hammer<2>, hammer<3>,
                                            hammer<4>, hammer<5>, hammer<6>, hammer<7>};
    for (std::uintptr_t i = 0; i < 8; ++i) threads.emplace_back(work[i], (i + 1) << 32U);
    for (std::thread& thread : threads) thread.join();
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 16000U);
  ASSERT_EQ(hooks.trace_model().sites().size(), 8U);
  for (const auto& [key, site] : hooks.trace_model().sites()) {
    EXPECT_EQ(site.counters.acquired_count, 2000U);
    const model::Stack* stack = hooks.trace_model().stack(key.stack);
    ASSERT_NE(stack, nullptr);
    EXPECT_GE(stack->frames.size(), 2U);
  }
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, ChildOfATracedProcessIsNotItsLeak) {
  Child child([] {
    hooked_acquire(at(64), 10);
    if (::fork() == 0) {
      hooked_acquire(at(128), 20);
      hooked_release(at(64));
      ::_exit(0);
    }
    int status = 0;
    ::wait(&status);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 10U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(EngineTest, FollowedChildHasResourcesOfItsOwn) {
  TracedHooks::Options following = options();
  following.follow = true;
  Child child([] {
    hooked_acquire(at(64), 10);
    if (::fork() == 0) {
      hooked_acquire(at(128), 20);
      hooked_release(at(64));  // the parent's, in the child's copy
      ::_exit(0);
    }
    int status = 0;
    ::wait(&status);
  });
  TracedHooks hooks(following);
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap, child.pid()).outstanding_bytes(), 10U);
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 30U);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

/// The processes whose code the unwinder knows.
std::size_t unwound_processes(const tracer::Tracer& tracer) {
  const int procs = tracer.engine().unwind_maps().procs;
  std::size_t count = 0;
  std::uint32_t key = 0;
  for (void* at = nullptr; bpf_map_get_next_key(procs, at, &key) == 0; at = &key) ++count;
  return count;
}

TEST_P(EngineTest, ChildrenThatEndLeaveNothingBehind) {
  TracedHooks::Options following = options();
  following.follow = true;
  Child child([] {
    hooked_acquire(at(64), 10);
    for (int i = 0; i < 20; ++i) {
      const pid_t pid = i % 2 == 0 ? ::vfork() : ::fork();
      if (pid == 0) ::_exit(127);  // as when there is no such program
      int status = 0;
      ::waitpid(pid, &status, 0);
    }
  });
  TracedHooks hooks(following);
  hooks.trace(child);
  EXPECT_EQ(hooks.tracer().unwind_usage().processes, 1U);
  EXPECT_EQ(unwound_processes(hooks.tracer()), 1U);
  EXPECT_EQ(hooks.total(Kind::heap, child.pid()).outstanding_bytes(), 10U) << "it goes on";
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

// The events that would say so may be lost.
TEST_P(EngineTest, ChildrenNotHeardOfLeaveNothingInTheKernel) {
  TracedHooks::Options following = options();
  following.follow = true;
  Child child([] {
    for (int i = 0; i < 20; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(0);
      int status = 0;
      ::waitpid(pid, &status, 0);
    }
  });
  TracedHooks hooks(following);
  ASSERT_TRUE(hooks.tracer().attach(child.pid()));
  ASSERT_TRUE(child.work());
  EXPECT_EQ(unwound_processes(hooks.tracer()), 1U) << "no event was read";
}

// A daemon: who began it is gone, and libraries come and go all the same.
TEST_P(EngineTest, LibrariesOfAChildAreSeenAfterItsParentsEnd) {
  TracedHooks::Options following = options();
  following.follow = true;
  int go[2];
  int done[2];
  ASSERT_EQ(::pipe(go), 0);
  ASSERT_EQ(::pipe(done), 0);
  Child child([&] {
    if (::fork() != 0) return;
    ::alarm(60);
    ::close(go[1]);  // so that it ends with the test
    char byte = 0;
    while (::read(go[0], &byte, 1) == 1) {
      void* library = ::dlopen("libanl.so.1", RTLD_NOW);
      if (library == nullptr || ::dlclose(library) != 0) ::_exit(1);
      const pid_t self = ::getpid();
      if (::write(done[1], &self, sizeof(self)) < 0) break;
    }
    ::_exit(0);
  });
  ::close(go[0]);
  ::close(done[1]);
  TracedHooks hooks(following);
  hooks.trace(child);
  child.end();
  hooks.read();
  ASSERT_EQ(::write(go[1], "", 1), 1);
  pid_t daemon = 0;
  ASSERT_EQ(::read(done[0], &daemon, sizeof(daemon)), static_cast<ssize_t>(sizeof(daemon)));
  const auto process = hooks.tracer().engine().process(daemon);
  ASSERT_TRUE(process);
  EXPECT_EQ(process->unloads, 1U);
  ::close(go[1]);
  ::close(done[0]);
}

TEST_P(EngineTest, CallSitesKeepWhatIsOutstandingWhenTheProcessEnds) {
  Child child([] { hooked_acquire(at(64), 10); });
  TracedHooks hooks(options());
  hooks.trace(child);
  child.end();
  hooks.read();
  EXPECT_EQ(hooks.total(Kind::heap).outstanding_bytes(), 10U);
  ASSERT_EQ(hooks.trace_model().processes().size(), 1U);
  EXPECT_TRUE(hooks.trace_model().processes().begin()->second.end.has_value());
}

TEST_P(EngineTest, DetachedProbesSeeNothingMore) {
  Child child([] { hooked_acquire(at(64), 10); });
  TracedHooks hooks(options());
  hooks.trace(child);
  hooks.tracer().detach_all();
  ASSERT_TRUE(child.work());
  hooks.read();
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 1U);
}

INSTANTIATE_TEST_SUITE_P(Modes, EngineTest, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
