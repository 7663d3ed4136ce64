// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/process_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace leaktrace::tracer {
namespace {

constexpr std::string_view kStatus =
    "Name:\tVmRSS: 1 kB\nTgid:\t7\nVmSize:\t  900 kB\nVmRSS:\t     512 kB\nRssAnon:\t     300 kB\n"
    "RssFile:\t     200 kB\nRssShmem:\t      12 kB\nVmData:\t     999 kB\nVmSwap:\t      44 kB\n";
constexpr std::string_view kStat =
    "7 (a) b) S 1 7 7 0 -1 4194304 12345 99 67 98 5 6 0 0 20 0 1 0 100 1000 128\n";
constexpr std::string_view kMaps =
    "55d0c000-55d0d000 r-xp 00000000 fd:01 42 /usr/bin/server\n"
    "55d0e000-55d2f000 rw-p 00000000 00:00 0          [heap]\n"
    "7f000000-7f001000 r-xp 0";  // cut in the middle of a line

TEST(ParseProcessMemory, ReadsEveryField) {
  const auto memory = parse_process_memory(kStatus, kStat, kMaps);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->resident_bytes, 512U * 1024);
  EXPECT_EQ(memory->anonymous_bytes, 300U * 1024);
  EXPECT_EQ(memory->swapped_bytes, 44U * 1024);
  EXPECT_EQ(memory->heap_bytes, 0x21000U);
  EXPECT_EQ(memory->minor_faults, 12345U);
  EXPECT_EQ(memory->major_faults, 67U);
  EXPECT_EQ(memory->cpu_ns,
            11 * std::uint64_t{1'000'000'000} / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

TEST(ParseProcessMemory, SaysNothingOfAProcessWithoutMemory) {
  EXPECT_FALSE(parse_process_memory("Name:\tkthreadd\nTgid:\t2\n", kStat, ""));
  EXPECT_FALSE(parse_process_memory("", "", ""));
}

TEST(ParseProcessMemory, TakesWhatIsNotThereAsNothing) {
  const auto memory = parse_process_memory("\nVmRSS:\t 4 kB\n", "7 (a", "");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->resident_bytes, 4096U);
  EXPECT_EQ(memory->anonymous_bytes, 0U);
  EXPECT_EQ(memory->heap_bytes, 0U);
  EXPECT_EQ(memory->minor_faults, 0U);
}

TEST(ReadProcessMemory, FollowsWhatThisProcessTouches) {
  constexpr std::size_t kBytes = std::size_t{32} << 20;
  const auto before = read_process_memory(::getpid());
  void* pages = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  const auto after = read_process_memory(::getpid());
  ::munmap(pages, kBytes);
  ASSERT_TRUE(before && after);
  EXPECT_GE(after->anonymous_bytes + after->swapped_bytes,
            before->anonymous_bytes + before->swapped_bytes + kBytes * 9 / 10);
  EXPECT_GE(after->resident_bytes, after->anonymous_bytes);
  EXPECT_GE(after->minor_faults, before->minor_faults);
}

TEST(ReadProcessMemory, SeesTheHeapThatBrkMakes) {
  const auto before = read_process_memory(::getpid());
  void* const end = ::sbrk(1 << 20);
  ASSERT_NE(end, reinterpret_cast<void*>(-1));
  const auto after = read_process_memory(::getpid());
  ASSERT_TRUE(before && after);
  EXPECT_EQ(after->heap_bytes, before->heap_bytes + (1 << 20));
}

TEST(ReadProcessMemory, OfNoProcessIsNothing) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(read_process_memory(child));
}

}  // namespace
}  // namespace leaktrace::tracer
