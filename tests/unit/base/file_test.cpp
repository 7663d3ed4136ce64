// SPDX-License-Identifier: Apache-2.0
#include "user/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace leaktrace {
namespace {

using testing::HasSubstr;

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "leaktrace-file-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ + "/report"; }
  [[nodiscard]] std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }

  std::string folder_;
};

TEST_F(AtomicFileTest, AppearsWholeOnCommit) {
  auto file = AtomicFile::create(path());
  ASSERT_TRUE(file);
  EXPECT_FALSE(std::filesystem::exists(path()));
  ASSERT_TRUE(file->commit("first"));
  EXPECT_EQ(*read_file(path()), "first");
  ASSERT_TRUE(file->commit("second"));
  EXPECT_EQ(*read_file(path()), "second");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, LeavesNothingAndKeepsTheOldOneWithoutCommit) {
  {
    auto old = AtomicFile::create(path());
    ASSERT_TRUE(old->commit("old"));
    auto file = AtomicFile::create(path());
    ASSERT_TRUE(file);
  }
  EXPECT_EQ(*read_file(path()), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, SaysAtOnceWhatCannotBeWritten) {
  auto file = AtomicFile::create(folder_ + "/none/report");
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().what, HasSubstr("/none/report"));
  EXPECT_FALSE(AtomicFile::create(folder_));
}

TEST_F(AtomicFileTest, WritesIntoDevicesDirectly) {
  auto null = AtomicFile::create("/dev/null");
  ASSERT_TRUE(null);
  EXPECT_TRUE(null->commit("gone"));
  auto full = AtomicFile::create("/dev/full");
  ASSERT_TRUE(full);
  EXPECT_FALSE(full->commit("no room"));
}

TEST(ReadFile, NamesTheFileItCannotOpen) {
  auto content = read_file("/no/such/file");
  ASSERT_FALSE(content);
  EXPECT_THAT(content.error().what, HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace leaktrace
