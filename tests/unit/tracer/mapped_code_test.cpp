// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/mapped_code.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace leaktrace::tracer {
namespace {

using Code = std::vector<std::uint8_t>;

constexpr std::uint64_t kAddress = 0x7f0000001000;

// test rdi, rdi; je +0x10
const Code kFile = {0x48, 0x85, 0xff, 0x74, 0x10};
const std::vector<CodePart> kParts = {{0, 3}, {3, 2}};

CodeState compare(const Code& memory) {
  return compare_code(Machine::x86_64, memory, kFile, kParts, kAddress, {});
}

TEST(CompareCode, AcceptsTheFilesBytes) {
  EXPECT_EQ(compare(kFile), CodeState::as_in_file);
}

TEST(CompareCode, SeesBreakpointsWhereInstructionsBegin) {
  EXPECT_EQ(compare({0xcc, 0x85, 0xff, 0x74, 0x10}), CodeState::has_breakpoint);
  EXPECT_EQ(compare({0x48, 0x85, 0xff, 0xcc, 0x10}), CodeState::has_breakpoint);
  EXPECT_EQ(compare({0xcc, 0x85, 0xff, 0xcc, 0x10}), CodeState::has_breakpoint);
}

TEST(CompareCode, TakesEverythingElseForAPatch) {
  EXPECT_EQ(compare({0x48, 0xcc, 0xff, 0x74, 0x10}), CodeState::patched);
  EXPECT_EQ(compare({0xe9, 0x01, 0x02, 0x03, 0x04}), CodeState::patched);
  EXPECT_EQ(compare({0xcc, 0x00, 0xff, 0x74, 0x10}), CodeState::patched);
  EXPECT_EQ(compare({0x48, 0x85, 0xff, 0x75, 0x10}), CodeState::patched);
  EXPECT_EQ(compare({0xcc, 0x85, 0xff, 0x75, 0x10}), CodeState::patched);
}

TEST(CompareCode, AcceptsNopsThatUprobesTurnedIntoCalls) {
  const Code nop = {0x0f, 0x1f, 0x44, 0x00, 0x00};
  const std::vector<CodePart> parts = {{0, 5}};
  const std::vector<AddressRange> trampolines = {{kAddress + 0x1000, kAddress + 0x2000}};
  const auto state = [&](const Code& memory) {
    return compare_code(Machine::x86_64, memory, nop, parts, kAddress, trampolines);
  };
  EXPECT_EQ(state(nop), CodeState::as_in_file);
  EXPECT_EQ(state({0xe8, 0xfb, 0x0f, 0x00, 0x00}), CodeState::as_in_file);  // to the trampoline
  EXPECT_EQ(state({0xcc, 0xfb, 0x0f, 0x00, 0x00}), CodeState::as_in_file);  // on the way there
  EXPECT_EQ(state({0xcc, 0x1f, 0x44, 0x00, 0x00}), CodeState::has_breakpoint);
  EXPECT_EQ(state({0xe8, 0x00, 0x00, 0x00, 0x00}), CodeState::patched);  // to somewhere else
  EXPECT_EQ(state({0xe9, 0xfb, 0x0f, 0x00, 0x00}), CodeState::patched);
}

TEST(CompareCode, KnowsBreakpointsOfArm64) {
  const Code file = {0xe0, 0x03, 0x01, 0x2a};  // mov w0, w1
  const std::vector<CodePart> parts = {{0, 4}};
  const auto state = [&](const Code& memory) {
    return compare_code(Machine::arm64, memory, file, parts, kAddress, {});
  };
  EXPECT_EQ(state(file), CodeState::as_in_file);
  EXPECT_EQ(state({0xa0, 0x00, 0x20, 0xd4}), CodeState::has_breakpoint);  // brk #5: uprobes
  EXPECT_EQ(state({0x00, 0x00, 0x20, 0xd4}), CodeState::has_breakpoint);  // brk #0: gdb
  EXPECT_EQ(state({0x1f, 0x20, 0x03, 0xd5}), CodeState::patched);         // nop
}

/// A file of code that this process maps, and may change its copy of.
class MappedFile : public testing::Test {
 protected:
  void SetUp() override {
    fd_ = UniqueFd(::memfd_create("mapped code", MFD_CLOEXEC));
    Code page(4096, 0x90);
    std::ranges::copy(kFile, page.begin() + 0x100);
    ASSERT_EQ(::write(fd_.get(), page.data(), page.size()), 4096);
    memory_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd_.get(), 0));
    ASSERT_NE(memory_, MAP_FAILED);
    site_.entry = 0x100;
    site_.offset = 0x103;
    site_.size = 2;
    site_.passed_over.push_back({0x100, 3, "test rdi, rdi", "single-stepped"});
  }
  void TearDown() override { ::munmap(memory_, 4096); }

  [[nodiscard]] std::string objection() const {
    auto maps = read_maps(::getpid());
    EXPECT_TRUE(maps);
    const auto file = std::ranges::find_if(*maps, [](const Mapping& one) {
      return one.path.find("mapped code") != std::string::npos;
    });
    EXPECT_NE(file, maps->end());
    return std::string(MappedCode(::getpid(), *maps, *file).objection(fd_.get(), site_));
  }

  UniqueFd fd_;
  std::uint8_t* memory_ = nullptr;
  ProbeSite site_;
};

TEST_F(MappedFile, IsComparedWithTheProcessesMemory) {
  EXPECT_EQ(objection(), "");
  memory_[0x105] = 0xe9;  // behind the probe
  EXPECT_EQ(objection(), "");
  memory_[0x100] = 0xe9;
  EXPECT_EQ(objection(), "patched in memory");
}

TEST_F(MappedFile, MayHaveBreakpointsWhereNobodyDebugs) {
  memory_[0x103] = 0xcc;
  EXPECT_EQ(objection(), "");
}

TEST_F(MappedFile, IsNotObjectedToWhereItIsNotMapped) {
  site_.entry += 0x10000;
  site_.offset += 0x10000;
  site_.passed_over[0].offset += 0x10000;
  EXPECT_EQ(objection(), "");
}

}  // namespace
}  // namespace leaktrace::tracer
