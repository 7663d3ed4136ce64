// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/presence.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace leaktrace::tracer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A file of one page that this process maps as code, and may change in its memory only.
class MappedFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "presence-XXXXXX";
    fd_ = UniqueFd(::mkostemp(path.data(), O_CLOEXEC));
    ASSERT_TRUE(fd_);
    ::unlink(path.c_str());
    std::vector<std::uint8_t> code(4096, 0x90);
    ASSERT_EQ(::write(fd_.get(), code.data(), code.size()), 4096);
    void* page =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd_.get(), 0);
    ASSERT_NE(page, MAP_FAILED);
    memory_ = static_cast<std::uint8_t*>(page);
    auto maps = read_maps(::getpid());
    ASSERT_TRUE(maps);
    maps_ = *maps;
    for (const Mapping& one : maps_) {
      if (one.start == reinterpret_cast<std::uintptr_t>(page)) mapping_ = one;
    }
    ASSERT_TRUE(mapping_.is_file());
  }
  void TearDown() override {
    if (memory_ != nullptr) ::munmap(memory_, 4096);
  }

  Presence see(std::vector<std::uint64_t> offsets) {
    return see_probes(::getpid(), maps_, mapping_, fd_.get(), offsets);
  }

  UniqueFd fd_;
  std::uint8_t* memory_ = nullptr;
  std::vector<Mapping> maps_;
  Mapping mapping_;
};

TEST_F(MappedFile, HasTheProbesThatItsMemoryShows) {
#if defined(__x86_64__)
  memory_[16] = 0xcc;
#else
  const std::uint32_t brk = 0xd4200000;
  std::memcpy(memory_ + 16, &brk, sizeof brk);
#endif
  const Presence seen = see({16, 64, 128});
  EXPECT_EQ(seen.there, 1U);
  EXPECT_EQ(seen.missing, 2U);
  EXPECT_FALSE(seen.is_complete());
  EXPECT_TRUE(see({16}).is_complete());
}

TEST_F(MappedFile, SaysNothingOfWhatIsPatchedOrNotMapped) {
  memory_[16] = 0xe9;
  const Presence seen = see({16, 1 << 20});
  EXPECT_EQ(seen.there, 0U);
  EXPECT_EQ(seen.missing, 0U);
}

TEST_F(MappedFile, HasTheSameCodeWhereItsBytesAreTheSame) {
  const UniqueFd other(::memfd_create("other", MFD_CLOEXEC));
  const std::vector<std::uint8_t> code(32, 0x90);
  ASSERT_EQ(::write(other.get(), code.data(), code.size()), 32);
  Hook hook;
  hook.site.entry = 8;
  hook.site.offset = 16;
  hook.site.size = 4;
  EXPECT_TRUE(has_same_code(fd_.get(), other.get(), std::vector{hook}));
  const std::uint8_t changed = 0x91;
  ASSERT_EQ(::pwrite(other.get(), &changed, 1, 19), 1);
  EXPECT_FALSE(has_same_code(fd_.get(), other.get(), std::vector{hook}));
  hook.site.offset = 64;  // the other ends before
  EXPECT_FALSE(has_same_code(fd_.get(), other.get(), std::vector{hook}));
}

TEST(ProbeLosses, NameTheProcessesAndWhatWasDeclined) {
  ProbeLosses losses;
  EXPECT_EQ(losses.declined({.path = "/l", .count = 2, .why = "free: patched"}).why,
            "free: patched");
  const ProbeLoss one = losses.missing("/l", 10, 17, true);
  EXPECT_EQ(one.count, 17U);
  EXPECT_THAT(one.why, AllOf(HasSubstr("free: patched; no probe on it is in the memory of "
                                       "process 10: "),
                             HasSubstr("touch")));
  for (pid_t pid = 11; pid < 20; ++pid) (void)losses.missing("/l", pid, 3, true);
  EXPECT_THAT(losses.missing("/l", 12, 3, true).why,
              HasSubstr("processes 10, 11, 12, 13, 14 and 5 more: "));
  EXPECT_THAT(losses.missing("/m", 10, 1, false).why, Not(HasSubstr("touch")));
}

}  // namespace
}  // namespace leaktrace::tracer
