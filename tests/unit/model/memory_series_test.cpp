// SPDX-License-Identifier: Apache-2.0
#include "user/model/memory_series.h"

#include <gtest/gtest.h>

#include "user/model/trace.h"

namespace leaktrace::model {
namespace {

ProcessMemory reading(std::uint64_t second, std::uint32_t image = 1) {
  ProcessMemory memory;
  memory.image = {image};
  memory.at_ns = second;
  memory.anonymous_bytes = 10 * second;
  return memory;
}

MemorySeries series_of(std::uint64_t readings) {
  MemorySeries series;
  for (std::uint64_t second = 0; second < readings; ++second) series.add(reading(second));
  return series;
}

TEST(MemorySeries, BeginsEmpty) {
  EXPECT_TRUE(MemorySeries().empty());
  EXPECT_TRUE(MemorySeries().readings().empty());
}

TEST(MemorySeries, KeepsEveryReadingWhileThereIsRoom) {
  const std::vector<ProcessMemory> readings = series_of(MemorySeries::kMost).readings();
  ASSERT_EQ(readings.size(), MemorySeries::kMost);
  for (std::size_t i = 0; i < readings.size(); ++i) EXPECT_EQ(readings[i], reading(i));
}

TEST(MemorySeries, OfAnyLengthHasTheFirstTheNewestAndEvenDistances) {
  for (const std::uint64_t length : {1U, 2U, 127U, 129U, 130U, 255U, 256U, 257U, 1000U, 86400U}) {
    SCOPED_TRACE(length);
    const MemorySeries series = series_of(length);
    const std::vector<ProcessMemory> readings = series.readings();
    ASSERT_LE(readings.size(), MemorySeries::kMost + 1);
    EXPECT_GE(readings.size(), std::min<std::uint64_t>(length, MemorySeries::kMost / 2));
    EXPECT_EQ(readings.front(), reading(0));
    EXPECT_EQ(readings.back(), reading(length - 1));
    EXPECT_EQ(series.first(), readings.front());
    EXPECT_EQ(series.newest(), readings.back());
    const std::uint64_t step = readings.size() > 1 ? readings[1].at_ns : 1;
    for (std::size_t i = 1; i + 1 < readings.size(); ++i) {
      EXPECT_EQ(readings[i].at_ns, i * step);
    }
  }
}

TEST(MemorySeries, OfATraceIsThatOfTheImage) {
  Trace trace;
  trace.apply(reading(1, 1));
  trace.apply(reading(2, 2));
  trace.apply(reading(3, 1));
  ASSERT_NE(trace.memory({1}), nullptr);
  EXPECT_EQ(trace.memory({1})->readings(), (std::vector{reading(1, 1), reading(3, 1)}));
  EXPECT_EQ(trace.memory({3}), nullptr);
  EXPECT_EQ(trace.now_ns(), 3U);
}

TEST(MemorySeries, OfAnImageThatWasReplacedIsGone) {
  Trace trace;
  trace.apply(reading(1));
  trace.apply(
      ProcessEnd{.image = {1}, .reason = EndReason::replaced, .wait_status = 0, .at_ns = 2});
  trace.apply(reading(3));  // read before the end was known
  EXPECT_EQ(trace.memory({1}), nullptr);
}

}  // namespace
}  // namespace leaktrace::model
