// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/procfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace leaktrace::tracer {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(ParseMaps, ReadsEveryField) {
  auto maps =
      parse_maps("7f0000001000-7f0000003000 r-xp 00002000 fd:01 4242       /usr/lib/libfoo.so\n");
  ASSERT_THAT(maps, SizeIs(1));
  EXPECT_EQ(maps[0].start, 0x7f0000001000U);
  EXPECT_EQ(maps[0].end, 0x7f0000003000U);
  EXPECT_EQ(maps[0].offset, 0x2000U);
  EXPECT_EQ(maps[0].inode, 4242U);
  EXPECT_EQ(maps[0].device, device_number(makedev(0xfd, 1)));
  EXPECT_EQ(maps[0].path, "/usr/lib/libfoo.so");
  EXPECT_TRUE(maps[0].executable);
  EXPECT_TRUE(maps[0].readable);
  EXPECT_TRUE(maps[0].is_file());
}

TEST(ParseMaps, KeepsSpacesAndDropsTheMarkOfDeletedFiles) {
  auto maps = parse_maps("1000-2000 r-xp 00000000 fd:01 7 /tmp/a b (deleted)\n");
  ASSERT_THAT(maps, SizeIs(1));
  EXPECT_EQ(maps[0].path, "/tmp/a b");
}

TEST(ParseMaps, AnonymousAndSpecialMappingsAreNoFiles) {
  auto maps = parse_maps(
      "1000-2000 rwxp 00000000 00:00 0 \n"
      "2000-3000 r-xp 00000000 00:00 0                          [vdso]\n");
  ASSERT_THAT(maps, SizeIs(2));
  EXPECT_FALSE(maps[0].is_file());
  EXPECT_EQ(maps[0].path, "");
  EXPECT_EQ(maps[1].path, "[vdso]");
}

TEST(ParseMaps, LeavesOutWhatIsNoMapping) {
  EXPECT_THAT(parse_maps(""), IsEmpty());
  EXPECT_THAT(parse_maps("nonsense\n\n1000-2000\n"), IsEmpty());
}

TEST(ReadMaps, FindsTheCodeOfThisProcess) {
  auto maps = read_maps(::getpid());
  ASSERT_TRUE(maps);
  auto here = reinterpret_cast<std::uintptr_t>(&device_number);
  bool found = false;
  for (const Mapping& mapping : *maps) {
    if (here < mapping.start || here >= mapping.end) continue;
    found = true;
    EXPECT_TRUE(mapping.executable);
    struct stat info {};
    ASSERT_EQ(::stat(mapping.path.c_str(), &info), 0);
    EXPECT_EQ(info.st_ino, mapping.inode);
  }
  EXPECT_TRUE(found);
}

TEST(CheckTraceable, NamesWhatIsWrong) {
  EXPECT_THAT(check_traceable(::getpid()).error().what, HasSubstr("itself"));
  EXPECT_THAT(check_traceable(0x7ffffff0).error().what, HasSubstr("no process with pid"));
}

TEST(CheckTraceable, DeclinesAThread) {
  pid_t tid = 0;
  std::thread thread([&] {
    tid = ::gettid();
    EXPECT_THAT(check_traceable(tid).error().what, HasSubstr("is a thread of process"));
  });
  thread.join();
}

TEST(CheckTraceable, DeclinesAZombie) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  auto checked = check_traceable(child);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().what, HasSubstr("zombie"));
  ::waitpid(child, nullptr, 0);
}

TEST(ReadProcessInfo, KnowsThisProgram) {
  ProcessInfo info = read_process_info(::getpid());
  EXPECT_THAT(info.exe, HasSubstr("procfs_test"));
  EXPECT_THAT(info.comm, HasSubstr("procfs_test"));
}

}  // namespace
}  // namespace leaktrace::tracer
