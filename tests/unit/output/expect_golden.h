// SPDX-License-Identifier: Apache-2.0
//
// What the writers wrote last time a person looked. After a wanted change, run the test with
// LEAKTRACE_UPDATE_GOLDEN=1 in the environment, and look at the difference before it is committed.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "user/base/file.h"
#include "user/base/output_file.h"

namespace leaktrace::output {

/// Holds what was written against the file of that name and format in tests/testdata/output.
inline void expect_golden(const std::string& name, std::string_view format,
                          const std::string& written) {
  const std::string suffix = format == "text" ? "txt" : std::string(format);
  const std::string path = LEAKTRACE_SOURCE_DIR "/tests/testdata/output/" + name + "." + suffix;
  SCOPED_TRACE(path);
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

}  // namespace leaktrace::output
