// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/words.h"

#include <gtest/gtest.h>

namespace leaktrace::analyze {
namespace {

TEST(Words, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(1024 * 1024 - 1), "1.0 MiB");  // not "1024.0 KiB"
  EXPECT_EQ(human_bytes(10 * 1024 * 1024), "10.0 MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(Words, ByteRates) {
  EXPECT_EQ(human_byte_rate(0), "0 B/s");
  EXPECT_EQ(human_byte_rate(0.4), "0 B/s");
  EXPECT_EQ(human_byte_rate(-0.4), "0 B/s");
  EXPECT_EQ(human_byte_rate(12), "+12 B/s");
  EXPECT_EQ(human_byte_rate(5.6 * 1024), "+5.6 KiB/s");
  EXPECT_EQ(human_byte_rate(-2.0 * 1024 * 1024), "-2.0 MiB/s");
}

TEST(Words, ByteDifferences) {
  EXPECT_EQ(human_byte_difference(0), "0 B");
  EXPECT_EQ(human_byte_difference(12), "+12 B");
  EXPECT_EQ(human_byte_difference(-2 * 1024 * 1024), "-2.0 MiB");
  EXPECT_EQ(human_byte_difference(INT64_MIN), "-8.0 EiB");
}

TEST(Words, Seconds) {
  EXPECT_EQ(human_seconds(0), "0 s");
  EXPECT_EQ(human_seconds(0.25), "0.25 s");
  EXPECT_EQ(human_seconds(9.999), "10 s");
  EXPECT_EQ(human_seconds(60), "60 s");
  EXPECT_EQ(human_seconds(119.6), "2 min 0 s");
  EXPECT_EQ(human_seconds(7500), "2 h 5 min");
  EXPECT_EQ(human_seconds(273600), "3 d 4 h");
}

}  // namespace
}  // namespace leaktrace::analyze
