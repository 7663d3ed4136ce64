// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/output/expect_golden.h"
#include "tests/unit/output/sample_report.h"
#include "user/output/format.h"

namespace leaktrace::output {
namespace {

void expect_golden_report(const std::string& name, const analyze::Report& report) {
  for (const Format& format : formats()) {
    expect_golden(name, format.name, format.write(report));
  }
}

TEST(Golden, Awkward) {
  expect_golden_report("awkward", awkward_report());
}
TEST(Golden, Empty) {
  expect_golden_report("empty", empty_report());
}
TEST(Golden, Sampled) {
  expect_golden_report("sampled", sampled_report());
}
TEST(Golden, Paused) {
  expect_golden_report("paused", paused_report());
}
TEST(Golden, Postgres) {
  expect_golden_report("postgres", postgres_report());
}
TEST(Golden, Plain) {
  expect_golden_report("plain", plain_report());
}

}  // namespace
}  // namespace leaktrace::output
