// SPDX-License-Identifier: Apache-2.0
#include "user/base/output_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "user/base/file.h"

namespace leaktrace {
namespace {

namespace fs = std::filesystem;
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

class OutputFileTest : public AtomicFileTest {
 protected:
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    return fs::symlink_status(folder_ + "/" + name).type() != fs::file_type::not_found;
  }
  /// The one name in the folder that is not "report".
  [[nodiscard]] std::string temporary() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().filename() != "report") return entry.path().filename();
    }
    return {};
  }
  [[nodiscard]] Result<void> write_report() const {
    auto file = AtomicFile::create(path());
    if (!file) return file.unexpected();
    return file->commit("content");
  }
};

TEST_F(OutputFileTest, IsForItsOwnerOnlyWhateverWasThere) {
  put("report", "old");
  ASSERT_EQ(::chmod(path().c_str(), 0666), 0);
  ASSERT_TRUE(write_report());
  struct stat info {};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_EQ(info.st_nlink, 1U);
}

TEST_F(OutputFileTest, NothingIsWrittenThroughALink) {
  put("victim", "victim");
  fs::create_symlink(folder_ + "/victim", path());
  ASSERT_TRUE(write_report());
  EXPECT_EQ(*read_file(folder_ + "/victim"), "victim");
  EXPECT_EQ(*read_file(path()), "content");
  EXPECT_FALSE(fs::is_symlink(path()));
}

TEST_F(OutputFileTest, NothingIsWrittenThroughAHardLink) {
  put("victim", "victim");
  fs::create_hard_link(folder_ + "/victim", path());
  ASSERT_TRUE(write_report());
  EXPECT_EQ(*read_file(folder_ + "/victim"), "victim");
  EXPECT_EQ(*read_file(path()), "content");
}

TEST_F(OutputFileTest, NoLinkOfAnotherUserLeadsToAPipeOrDevice) {
  if (::geteuid() != 0) GTEST_SKIP() << "giving a link away takes root";
  ASSERT_EQ(::mkfifo((folder_ + "/pipe").c_str(), 0666), 0);
  for (const std::string& target : {folder_ + "/pipe", std::string("/dev/full")}) {
    fs::remove(path());
    fs::create_symlink(target, path());
    ASSERT_EQ(::lchown(path().c_str(), 12345, 12345), 0);
    ASSERT_TRUE(write_report()) << target;
    EXPECT_EQ(*read_file(path()), "content");
  }
}

TEST_F(OutputFileTest, APipeOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "giving a pipe away takes root";
  ASSERT_EQ(::mkfifo(path().c_str(), 0666), 0);
  ASSERT_EQ(::chown(path().c_str(), 12345, 12345), 0);
  const auto written = write_report();
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().what, HasSubstr("another user"));
}

TEST_F(OutputFileTest, APipeOfOnesOwnIsWrittenToDirectly) {
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  const UniqueFd reader(::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(write_report());
  std::array<char, 16> buffer{};
  EXPECT_EQ(::read(reader.get(), buffer.data(), buffer.size()), 7);
  EXPECT_TRUE(fs::is_fifo(path()));
}

TEST_F(OutputFileTest, FoldersAndDisksAreRefused) {
  for (const std::string& name : {folder_, folder_ + "/", std::string("."), std::string("..")}) {
    const auto file = OutputFile::create(name);
    ASSERT_FALSE(file) << name;
    EXPECT_THAT(file.error().what, HasSubstr("Is a directory"));
  }
  if (::geteuid() != 0) GTEST_SKIP() << "making a device takes root";
  ASSERT_EQ(::mknod(path().c_str(), S_IFBLK | 0600, makedev(1, 250)), 0);
  EXPECT_THAT(OutputFile::create(path()).error().what, HasSubstr("a disk"));
}

TEST_F(OutputFileTest, ADescriptorOfOnesOwnIsWrittenToWhateverItIs) {
  const UniqueFd mine(::open(path().c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ASSERT_TRUE(write_all(mine.get(), "before "));
  for (const char* form : {"/dev/fd/{}", "/proc/self/fd/{}"}) {
    auto file = AtomicFile::create(fmt::format(fmt::runtime(form), mine.get()));
    ASSERT_TRUE(file) << form;
    ASSERT_TRUE(file->commit("content "));
  }
  EXPECT_EQ(*read_file(path()), "before content content ");
  EXPECT_TRUE(fs::is_symlink("/dev/stdout"));
  auto out = OutputFile::create("/dev/stdout");
  ASSERT_TRUE(out);
  EXPECT_TRUE(out->is_direct());
  EXPECT_TRUE(fs::is_symlink("/dev/stdout"));
}

TEST_F(OutputFileTest, WhatADeadRunLeftIsRemovedByTheNext) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = OutputFile::create(path());
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const std::string left = temporary();
  ASSERT_THAT(left, testing::MatchesRegex("\\.leaktrace-[0-9a-f]+\\.tmp"));
  ASSERT_TRUE(write_report());
  EXPECT_FALSE(exists(left));
}

TEST_F(OutputFileTest, WhatALivingRunWritesStays) {
  auto other = OutputFile::create(folder_ + "/other");
  ASSERT_TRUE(other);
  const std::string name = temporary();
  ASSERT_TRUE(write_report());
  EXPECT_TRUE(exists(name));
  ASSERT_TRUE(other->publish());
  EXPECT_TRUE(exists("other"));
}

TEST_F(OutputFileTest, FilesThatOnlyLookLikeLeftoversStay) {
  put("keep", "keep");
  const std::string link = ".leaktrace-0123456789abcdef.tmp";
  fs::create_symlink(folder_ + "/keep", folder_ + "/" + link);
  fs::create_directory(folder_ + "/.leaktrace-1123456789abcdef.tmp");
  put(".leaktrace-user.tmp", "x");
  put(".leaktrace-0123456789ABCDEF.tmp", "x");
  ASSERT_EQ(::mkfifo((folder_ + "/.leaktrace-2123456789abcdef.tmp").c_str(), 0600), 0);
  if (::geteuid() == 0) {
    put(".leaktrace-3123456789abcdef.tmp", "x");
    ASSERT_EQ(::chown((folder_ + "/.leaktrace-3123456789abcdef.tmp").c_str(), 12345, 12345), 0);
  }
  const auto before = files();
  ASSERT_TRUE(write_report());
  EXPECT_EQ(files(), before + 1);
}

TEST_F(OutputFileTest, TheFolderStaysTheOneThatWasNamed) {
  const std::string given = folder_ + "/given";
  fs::create_directory(given);
  auto file = AtomicFile::create(given + "/report");
  ASSERT_TRUE(file);
  fs::rename(given, folder_ + "/moved");
  fs::create_directory(given);
  ASSERT_TRUE(file->commit("one"));
  ASSERT_TRUE(file->commit("two"));
  EXPECT_FALSE(exists("given/report"));
  EXPECT_EQ(*read_file(folder_ + "/moved/report"), "two");
}

}  // namespace
}  // namespace leaktrace
