// SPDX-License-Identifier: Apache-2.0
//
// What the writers wrote last time a person looked. After a wanted change, run the test with
// LEAKTRACE_UPDATE_GOLDEN=1 in the environment, and look at the difference before it is committed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/unit/output/sample_report.h"
#include "user/base/file.h"
#include "user/output/format.h"

namespace leaktrace::output {
namespace {

void expect_golden(const std::string& report_name, const analyze::Report& report) {
  for (const Format& format : formats()) {
    const std::string suffix = format.name == "text" ? "txt" : std::string(format.name);
    const std::string path =
        LEAKTRACE_SOURCE_DIR "/tests/testdata/output/" + report_name + "." + suffix;
    SCOPED_TRACE(path);
    const std::string written = format.write(report);
    if (std::getenv("LEAKTRACE_UPDATE_GOLDEN") != nullptr) {
      auto file = AtomicFile::create(path);
      ASSERT_TRUE(file) << file.error().message();
      const auto done = file->commit(written);
      ASSERT_TRUE(done) << done.error().message();
    }
    const auto golden = read_file(path);
    ASSERT_TRUE(golden) << golden.error().message();
    EXPECT_TRUE(written == *golden)
        << "differs from the golden file; LEAKTRACE_UPDATE_GOLDEN=1 rewrites it";
  }
}

TEST(Golden, Awkward) {
  expect_golden("awkward", awkward_report());
}
TEST(Golden, Empty) {
  expect_golden("empty", empty_report());
}
TEST(Golden, Sampled) {
  expect_golden("sampled", sampled_report());
}
TEST(Golden, Paused) {
  expect_golden("paused", paused_report());
}
TEST(Golden, Postgres) {
  expect_golden("postgres", postgres_report());
}
TEST(Golden, Plain) {
  expect_golden("plain", plain_report());
}

}  // namespace
}  // namespace leaktrace::output
