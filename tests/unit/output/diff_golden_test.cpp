// SPDX-License-Identifier: Apache-2.0
//
// As golden_test.cpp, of differences.
#include <gtest/gtest.h>

#include "tests/unit/output/expect_golden.h"
#include "tests/unit/output/sample_diff.h"
#include "user/output/diff_format.h"

namespace leaktrace::output {
namespace {

void expect_golden_diff(const std::string& name, const analyze::Diff& diff) {
  for (const DiffFormat& format : diff_formats()) {
    expect_golden("diff_" + name, format.name, format.write(diff));
  }
}

TEST(GoldenDiff, Plain) {
  expect_golden_diff("plain", plain_diff());
}
TEST(GoldenDiff, Empty) {
  expect_golden_diff("empty", empty_diff());
}
TEST(GoldenDiff, Sampled) {
  expect_golden_diff("sampled", sampled_diff());
}
TEST(GoldenDiff, Awkward) {
  expect_golden_diff("awkward", awkward_diff());
}
TEST(GoldenDiff, Postgres) {
  expect_golden_diff("postgres", postgres_diff());
}

}  // namespace
}  // namespace leaktrace::output
