// SPDX-License-Identifier: Apache-2.0
// Sampling in the programs: estimates against the truth, with every way of attaching. Bounds are of
// six standard deviations, as the trace itself tells them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "tests/bpf/engine/hooked.h"
#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/engine/traced_child.h"

namespace leaktrace::test {
namespace {

using model::Kind;

constexpr std::uint64_t kInterval = 4096;
constexpr int kCalls = 40'000;
constexpr std::size_t kSize = 100;

void* at(std::uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

class SamplingTest : public ProbeModeTest {
 protected:
  static TracedHooks::Options options() {
    TracedHooks::Options options;
    options.mode = GetParam();
    options.limits.sampling_base = kInterval;
    return options;
  }

  /// The standard deviation of an estimate of `count` blocks of `size` bytes.
  static double deviation(double count, double size) {
    const double chance = -std::expm1(-size / kInterval);
    return std::sqrt(count * (1 - chance) / chance);
  }

  static model::Estimate estimate(const TracedHooks& hooks) {
    model::Estimate sum;
    for (const auto& [key, site] : hooks.trace_model().sites()) {
      sum.acquired_samples += site.counters.estimate.acquired_samples;
      sum.released_samples += site.counters.estimate.released_samples;
      sum.count_variance += site.counters.estimate.count_variance;
      sum.bytes_variance += site.counters.estimate.bytes_variance;
    }
    return sum;
  }
};

TEST_P(SamplingTest, EstimatesWhatIsAcquiredAndReleased) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls; ++i) hooked_acquire(at(i * 64), kSize);
    for (std::uintptr_t i = 1; i <= kCalls / 2; ++i) hooked_release(at(i * 64));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  const model::Counters heap = hooks.total(Kind::heap);
  const double sigma = deviation(kCalls, kSize);
  EXPECT_NEAR(static_cast<double>(heap.acquired_count), kCalls, 6 * sigma);
  EXPECT_NEAR(static_cast<double>(heap.acquired_bytes), kCalls * kSize, 6 * sigma * kSize);
  EXPECT_NEAR(static_cast<double>(heap.outstanding_count()), kCalls / 2.0,
              6 * deviation(kCalls / 2.0, kSize));
  EXPECT_EQ(hooks.losses_but({}), 0U);
  const model::Estimate seen = estimate(hooks);
  EXPECT_EQ(seen.acquired_samples - seen.released_samples, hooks.blocks(Kind::heap));
  // What the kernel says of the uncertainty is what the formula says, to its own uncertainty.
  EXPECT_NEAR(std::sqrt(seen.count_variance) / deviation(kCalls / 2.0, kSize), 1, 0.25);
  EXPECT_NEAR(std::sqrt(seen.bytes_variance) / (deviation(kCalls / 2.0, kSize) * kSize), 1, 0.25);
}

TEST_P(SamplingTest, BlocksOfManyIntervalsAreTakenForCertain) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= 100; ++i) hooked_acquire(at(i * 64), kInterval * 64);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_count, 100U);
  EXPECT_EQ(hooks.total(Kind::heap).acquired_bytes, 100 * kInterval * 64);
  EXPECT_EQ(estimate(hooks).count_variance, 0);
}

TEST_P(SamplingTest, NestedCallsCountOnce) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls; ++i) hooked_outer_acquire(at(i * 64), kSize);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_NEAR(static_cast<double>(hooks.total(Kind::heap).acquired_count), kCalls,
              6 * deviation(kCalls, kSize));
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(SamplingTest, TailCallsCountOnce) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls; ++i) hooked_tail_acquire(at(i * 64), kSize);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_NEAR(static_cast<double>(hooks.total(Kind::heap).acquired_count), kCalls,
              6 * deviation(kCalls, kSize));
}

TEST_P(SamplingTest, ReplacedBlocksAreReleasedAndSampledAnew) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls / 4; ++i) {
      hooked_acquire(at(i * 64), kSize);
      hooked_replace(at(i * 64), 3 * kSize, at(i * 64));
    }
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  const model::Counters heap = hooks.total(Kind::heap);
  EXPECT_NEAR(static_cast<double>(heap.outstanding_count()), kCalls / 4.0,
              6 * deviation(kCalls / 4.0, 3 * kSize));
  EXPECT_NEAR(static_cast<double>(heap.outstanding_bytes()), kCalls / 4.0 * 3 * kSize,
              6 * deviation(kCalls / 4.0, 3 * kSize) * 3 * kSize);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(SamplingTest, ReleasesOfWhatWasNotSampledAreNoLoss) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= 1000; ++i) hooked_release(at(i * 64));
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  EXPECT_EQ(hooks.losses_but({}), 0U);
}

TEST_P(SamplingTest, MappingsAreCountedEachAndEvery) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= 100; ++i) hooked_map(at(i << 20U), 4096, 0);
    for (std::uintptr_t i = 1; i <= 40; ++i) hooked_unmap(at(i << 20U), 4096, 0);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  const model::Counters maps = hooks.total(Kind::mmap);
  EXPECT_EQ(maps.acquired_count, 100U);
  EXPECT_EQ(maps.outstanding_count(), 60U);
}

TEST_P(SamplingTest, AWiderIntervalTakesFewerAndStaysTrue) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls; ++i) hooked_acquire(at(i * 64), kSize);
  });
  TracedHooks hooks(options());
  hooks.tracer().set_sampling_step(2);
  hooks.trace(child);
  const double chance = -std::expm1(-static_cast<double>(kSize) / (kInterval << 2U));
  const double sigma = std::sqrt(kCalls * (1 - chance) / chance);
  EXPECT_NEAR(static_cast<double>(hooks.total(Kind::heap).acquired_count), kCalls, 6 * sigma);
  const model::Estimate seen = estimate(hooks);
  EXPECT_LT(seen.acquired_samples, 2 * kCalls * chance);
  EXPECT_NEAR(std::sqrt(seen.bytes_variance) / (sigma * kSize), 1, 0.25);
}

lt_hits all_hits(TracedHooks& hooks) {
  lt_hits sum{};
  for (std::uint32_t slot = 0; slot < LT_HIT_SLOTS; ++slot) {
    const lt_hits hits = hooks.tracer().engine().hits(slot);
    sum.entries += hits.entries + hits.stepped;
    sum.returns += hits.returns;
    sum.samples += hits.samples;
  }
  return sum;
}

/// Where the return is seen by a trampoline: the C library's own malloc.
TEST_P(SamplingTest, ACallThatIsNotSampledPaysForNoTrampoline) {
  Child child([] {
    void* (*volatile const allocate)(std::size_t) = &std::malloc;
    for (int i = 0; i < kCalls; ++i) allocate(1);
  });
  TracedHooks::Options of_malloc = options();
  const auto rows = catalog::memory_rows();
  of_malloc.rows = {*std::ranges::find(rows, "malloc", &catalog::Row::symbol)};
  TracedHooks hooks(of_malloc);
  hooks.trace(child);
  const lt_hits sum = all_hits(hooks);
  EXPECT_EQ(sum.entries, static_cast<std::uint64_t>(kCalls));
  EXPECT_GT(sum.samples, 0U);
  EXPECT_LE(sum.samples, sum.returns);
  if (GetParam() == tracer::ProbeMode::session) {
    EXPECT_LT(sum.returns, 1000U);
  } else {
    EXPECT_EQ(sum.returns, static_cast<std::uint64_t>(kCalls));
  }
}

/// A probe on a function's own return instruction is hit by every call.
TEST_P(SamplingTest, EveryCallPaysForItsOwnReturnInstruction) {
  Child child([] {
    for (std::uintptr_t i = 1; i <= kCalls; ++i) hooked_acquire(at(i * 64), 1);
  });
  TracedHooks hooks(options());
  hooks.trace(child);
  const lt_hits sum = all_hits(hooks);
  EXPECT_EQ(sum.entries, 2 * static_cast<std::uint64_t>(kCalls));
  EXPECT_EQ(sum.returns, 0U);
  EXPECT_GT(sum.samples, 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, SamplingTest, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
