// SPDX-License-Identifier: Apache-2.0
#include "user/base/foreign_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "user/base/file.h"

namespace leaktrace {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ForeignFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "leaktrace-foreign-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::create_directories(path("root/opt"));
    write("root/opt/file", "inside");
    write("file", "outside");
    root_ = *ForeignRoot::open(path("root"));
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  static std::string content(const Result<UniqueFd>& fd) {
    if (!fd) return "error: " + fd.error().what;
    if (!*fd) return "absent";
    std::string text(64, '\0');
    const ssize_t n = ::pread(fd->get(), text.data(), text.size(), 0);
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    return content(open_foreign(root_, name));
  }

  std::string folder_;
  ForeignRoot root_;
};

TEST_F(ForeignFile, IsFoundByItsNameInTheRoot) {
  EXPECT_EQ(read("/opt/file"), "inside");
  EXPECT_EQ(read("/opt/none"), "absent");
  EXPECT_EQ(read("/opt/file/none"), "absent");
  EXPECT_EQ(content(open_foreign(ForeignRoot(), path("file"))), "outside");
  EXPECT_THAT(read("opt/file"), HasSubstr("not an absolute path"));
}

TEST_F(ForeignFile, LinksAndDotsStayInTheRoot) {
  fs::create_symlink("/opt/file", path("root/absolute"));
  fs::create_symlink("../../../../opt/file", path("root/opt/relative"));
  fs::create_symlink("../../file", path("root/opt/out"));
  fs::create_symlink(path("file"), path("root/host"));
  EXPECT_EQ(read("/absolute"), "inside");
  EXPECT_EQ(read("/opt/relative"), "inside");
  EXPECT_EQ(read("/opt/out"), "absent");
  EXPECT_EQ(read("/host"), "absent");
  EXPECT_EQ(read("/../../opt/../opt/file"), "inside");
}

TEST_F(ForeignFile, LinksOfProcAreNotFollowed) {
  for (const char* name : {"/proc/self/exe", "/proc/self/root/etc/passwd", "/proc/self/cwd/x"}) {
    EXPECT_THAT(content(open_foreign(ForeignRoot(), name)), HasSubstr("error")) << name;
  }
}

TEST_F(ForeignFile, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(::mkfifo(path("root/pipe").c_str(), 0666), 0);
  fs::create_directories(path("root/folder"));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path("root/socket").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  for (const char* name : {"/pipe", "/folder", "/socket"}) {
    EXPECT_THAT(read(name), HasSubstr("not a regular file")) << name;
  }
  for (const char* name : {"/dev/zero", "/dev/tty", "/dev/ptmx"}) {
    EXPECT_THAT(content(open_foreign(ForeignRoot(), name)), HasSubstr("not a regular file"));
  }
}

// Opening a pipe for reading, even without waiting, lets a writer go on that waits in open().
TEST_F(ForeignFile, APipeIsNotEvenTouched) {
  ASSERT_EQ(::mkfifo(path("root/pipe").c_str(), 0666), 0);
  EXPECT_THAT(read("/pipe"), HasSubstr("not a regular file"));
  const int writer = ::open(path("root/pipe").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(writer, -1) << "someone has it open for reading";
}

TEST_F(ForeignFile, FilesOfTheKernelAreNotOpened) {
  for (const char* name : {"/proc/kmsg", "/proc/1/mem", "/proc/1/environ", "/proc/self/maps",
                           "/sys/kernel/notes", "/sys/fs/cgroup/cgroup.procs"}) {
    struct stat info {};
    if (::stat(name, &info) != 0) continue;  // a machine may lack one; /proc is always there
    EXPECT_THAT(content(open_foreign(ForeignRoot(), name)), HasSubstr("a file of the kernel"))
        << name;
  }
}

TEST_F(ForeignFile, LargerOnesThanTheBoundAreNotOpened) {
  write("root/large", "x");
  ASSERT_EQ(::truncate(path("root/large").c_str(), off_t{100} << 30), 0);
  EXPECT_THAT(read("/large"), HasSubstr("larger than 16 GiB"));
  ASSERT_EQ(::truncate(path("root/large").c_str(), off_t{16} << 30), 0);
  EXPECT_EQ(read("/large").front(), 'x');
}

TEST_F(ForeignFile, ALeaseDoesNotHoldUp) {
  UniqueFd mine(::open(path("root/opt/file").c_str(), O_RDWR | O_CLOEXEC));
  ::signal(SIGIO, SIG_IGN);
  ASSERT_EQ(::fcntl(mine.get(), F_SETLEASE, F_WRLCK), 0);
  EXPECT_THAT(read("/opt/file"), HasSubstr("Resource temporarily unavailable"));
  ::signal(SIGIO, SIG_DFL);
}

TEST_F(ForeignFile, TheRootStaysTheSameFolder) {
  fs::rename(path("root"), path("moved"));
  fs::create_directories(path("root/opt"));
  write("root/opt/file", "another");
  EXPECT_EQ(read("/opt/file"), "inside");
}

TEST_F(ForeignFile, AMissingRootHasNoFiles) {
  EXPECT_FALSE(ForeignRoot::open(path("none")));
  EXPECT_EQ(content(open_foreign(ForeignRoot::none(), path("file"))), "absent");
}

TEST_F(ForeignFile, InAFolderOfAllOnlyTheOwnersFileIsOpened) {
  const auto folder = open_foreign_folder(root_, "/opt");
  ASSERT_TRUE(folder);
  fs::create_symlink("file", path("root/opt/link"));
  const auto read_in = [&](const std::string& name, uid_t owner) {
    return content(open_foreign_in(folder->get(), name, owner));
  };
  EXPECT_EQ(read_in("file", ::geteuid()), "inside");
  EXPECT_EQ(read_in("none", ::geteuid()), "absent");
  EXPECT_THAT(read_in("link", ::geteuid()), HasSubstr("error"));
  EXPECT_THAT(read_in("../opt/file", ::geteuid()), HasSubstr("error"));
  if (::geteuid() != 0) GTEST_SKIP() << "giving a file away takes root";
  ASSERT_EQ(::chown(path("root/opt/file").c_str(), 12345, 12345), 0);
  EXPECT_THAT(read_in("file", 54321), HasSubstr("another user"));
  EXPECT_EQ(read_in("file", 12345), "inside");
}

TEST_F(ForeignFile, ALinkOfProcLeadsToTheVeryFile) {
  UniqueFd mine(::open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  fs::remove(path("file"));
  const std::string link = fmt::format("/proc/{}/fd/{}", ::getpid(), mine.get());
  EXPECT_EQ(content(open_foreign_link(link)), "outside");
  EXPECT_EQ(content(open_foreign_link("/proc/self/fd/4000")), "absent");
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::string device = fmt::format("/proc/self/fd/{}", null.get());
  EXPECT_THAT(content(open_foreign_link(device)), HasSubstr("not a regular file"));
}

TEST_F(ForeignFile, ItsPathInTheRootHasNoLinks) {
  fs::create_symlink("/opt/file", path("root/link"));
  const auto fd = open_foreign(root_, "/link");
  ASSERT_TRUE(fd);
  EXPECT_EQ(path_in_root(root_, fd->get()), "/opt/file");
  EXPECT_EQ(path_in_root(ForeignRoot(), fd->get()), path("root/opt/file"));
  EXPECT_EQ(path_in_root(*ForeignRoot::open(path("root/opt")), fd->get()), "/file");
  const UniqueFd outside(::open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(path_in_root(root_, outside.get()), "");
  EXPECT_EQ(path_in_root(ForeignRoot::none(), outside.get()), "");
}

TEST_F(ForeignFile, DescriptorsAreNotInherited) {
  const auto fd = open_foreign(root_, "/opt/file");
  ASSERT_TRUE(fd);
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(root_.fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(ForeignFile, ACopyCannotBeChanged) {
  UniqueFd mine(::open(path("file").c_str(), O_RDWR | O_CLOEXEC));
  auto copy = copy_foreign(mine.get(), 7);
  ASSERT_EQ(content(copy), "outside");
  ASSERT_EQ(::ftruncate(mine.get(), 0), 0);
  EXPECT_EQ(content(copy), "outside");
  EXPECT_NE(::ftruncate(copy->get(), 1), 0);
  EXPECT_LT(::write(copy->get(), "x", 1), 0);
}

TEST_F(ForeignFile, ACopyIsBounded) {
  UniqueFd mine(::open(path("file").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::ftruncate(mine.get(), off_t{100} << 30), 0);
  const auto copy = copy_foreign(mine.get(), std::uint64_t{3} << 20);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().what, HasSubstr("larger than 3 MiB"));
}

}  // namespace
}  // namespace leaktrace
