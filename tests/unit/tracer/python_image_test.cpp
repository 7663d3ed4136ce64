// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/python_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {
namespace {

TEST(PythonImage, IsFoundInTheInstalledInterpreter) {
  const UniqueFd fd(::open("/usr/bin/python3", O_RDONLY | O_CLOEXEC));
  if (!fd) GTEST_SKIP() << "/usr/bin/python3 is not installed";
  const auto image = read_python_image(fd.get());
  if (!image) GTEST_SKIP() << "/usr/bin/python3 is of no release from 3.11 to 3.13";
  EXPECT_EQ(image->major, 3U);
  EXPECT_GE(image->minor, 11U);
  EXPECT_LE(image->minor, 13U);
  EXPECT_LT(image->layout.eval_start, image->layout.eval_end);
  const lt_python moved = image->at(0x1000);
  EXPECT_EQ(moved.eval_start, image->layout.eval_start + 0x1000);
  EXPECT_EQ(moved.eval_end, image->layout.eval_end + 0x1000);
  EXPECT_EQ(moved.interpreters, image->layout.interpreters + 0x1000);
  EXPECT_EQ(moved.thread_frame, image->layout.thread_frame);
}

TEST(PythonImage, OtherFilesHaveNone) {
  const UniqueFd program(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(read_python_image(program.get()));
  const UniqueFd text(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(read_python_image(text.get()));
  EXPECT_FALSE(read_python_image(-1));
}

}  // namespace
}  // namespace leaktrace::tracer
