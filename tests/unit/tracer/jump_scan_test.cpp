// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/jump_scan.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/tracer/probe_site.h"

namespace leaktrace::tracer {
namespace {

using Code = std::vector<std::uint8_t>;

constexpr std::uint64_t kAddress = 0x400000;  // of the file's first byte, when it is mapped

/// A file whose code is all nops but for what is put there.
class CodeFile {
 public:
  explicit CodeFile(std::size_t size, Machine machine = Machine::x86_64)
      : machine_(machine), code_(size, 0x90) {}

  void put(std::size_t at, const Code& bytes) { std::ranges::copy(bytes, code_.begin() + at); }

  /// An instruction of `opcode` that leads to `target` by a distance of 32 bits.
  void put_jump(std::size_t at, Code opcode, std::size_t target) {
    const auto distance = static_cast<std::int32_t>(
        static_cast<std::int64_t>(target) - static_cast<std::int64_t>(at + opcode.size() + 4));
    std::uint8_t bytes[4];
    std::memcpy(bytes, &distance, 4);
    opcode.insert(opcode.end(), bytes, bytes + 4);
    put(at, opcode);
  }
  void put_short(std::size_t at, std::uint8_t opcode, std::size_t target) {
    const auto distance = static_cast<std::int64_t>(target) - static_cast<std::int64_t>(at + 2);
    put(at, {opcode, static_cast<std::uint8_t>(distance)});
  }
  void put_word(std::size_t at, std::uint32_t word) {
    std::memcpy(code_.data() + at, &word, sizeof(word));
  }

  [[nodiscard]] std::vector<bool> find(const std::vector<CodeWindow>& windows,
                                       std::size_t size_in_file = SIZE_MAX) const {
    auto decoder = Decoder::create(machine_);
    EXPECT_TRUE(decoder);
    const UniqueFd fd = write(size_in_file);
    return find_jumps_into(fd.get(), image(), *decoder, windows);
  }

  [[nodiscard]] std::vector<ProbeSite> choose(const std::vector<SiteRequest>& requests) const {
    const UniqueFd fd = write(SIZE_MAX);
    return choose_sites(fd.get(), image(), requests,
                        class_set({InstructionClass::push, InstructionClass::branch_short}));
  }

 private:
  [[nodiscard]] UniqueFd write(std::size_t size_in_file) const {
    UniqueFd fd(::memfd_create("code", MFD_CLOEXEC));
    const std::size_t size = std::min(size_in_file, code_.size());
    EXPECT_EQ(::write(fd.get(), code_.data(), size), static_cast<ssize_t>(size));
    return fd;
  }

  [[nodiscard]] ElfImage image() const {
    ElfImage image;
    image.machine = machine_ == Machine::x86_64 ? EM_X86_64 : EM_AARCH64;
    image.segments.push_back({0, kAddress, code_.size(), true});
    return image;
  }

  Machine machine_;
  Code code_;
};

constexpr CodeWindow kWindow{.entry = 0x1000, .probe = 0x1008};

TEST(JumpScan, FindsNothingInNops) {
  EXPECT_EQ(CodeFile(0x3000).find({kWindow}), std::vector<bool>{false});
}

TEST(JumpScan, FindsJumpsIntoTheWindowAndNotToItsEdges) {
  const std::vector<Code> opcodes = {{0xe8}, {0xe9}, {0x0f, 0x84}, {0x0f, 0x8f}};
  for (const Code& opcode : opcodes) {
    for (std::size_t target = 0xff8; target < 0x1010; ++target) {
      CodeFile file(0x3000);
      file.put_jump(0x2345, opcode, target);
      EXPECT_EQ(file.find({kWindow})[0], target > kWindow.entry && target <= kWindow.probe)
          << target;
    }
  }
}

TEST(JumpScan, FindsShortJumpsFromBothSides) {
  for (const std::uint8_t opcode : Code{0xeb, 0x74, 0x7f, 0xe2, 0xe3}) {
    for (const std::size_t from : {0xfa0U, 0xff0U, 0x1010U, 0x1040U, 0x107fU}) {
      for (const std::size_t target : {0x1000U, 0x1001U, 0x1008U, 0x1009U}) {
        CodeFile file(0x3000);
        file.put_short(from, opcode, target);
        EXPECT_EQ(file.find({kWindow})[0], target > kWindow.entry && target <= kWindow.probe)
            << from << " to " << target;
      }
    }
  }
}

// The same two bytes as part of a constant.
TEST(JumpScan, TakesNoConstantForAShortJump) {
  CodeFile file(0x3000);
  Code move = {0x48, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};  // mov rax, constant
  file.put(0x1020, move);
  file.put_short(0x1024, 0xeb, 0x1004);
  EXPECT_FALSE(file.find({kWindow})[0]);
}

TEST(JumpScan, SeesJumpsAcrossThePiecesThatAreRead) {
  constexpr std::size_t kPiece = 1 << 20;
  for (std::size_t at = kPiece - 8; at < kPiece + 8; ++at) {
    CodeFile file(kPiece + 0x1000);
    file.put_jump(at, {0xe9}, 0x1004);
    EXPECT_TRUE(file.find({kWindow})[0]) << at;
  }
  CodeFile file(2 * kPiece);
  file.put_jump(2 * kPiece - 5, {0xe8}, 0x1001);
  EXPECT_TRUE(file.find({kWindow})[0]);
}

TEST(JumpScan, TellsWindowsApart) {
  CodeFile file(0x3000);
  file.put_jump(0x2800, {0xe9}, 0x1103);
  const std::vector<CodeWindow> windows = {{0x1200, 0x1204}, {0x1100, 0x1104}, {0x1000, 0x1008}};
  EXPECT_EQ(file.find(windows), (std::vector<bool>{false, true, false}));
}

TEST(JumpScan, TakesWhatCannotBeReadForEntered) {
  const CodeFile file(0x3000);
  EXPECT_TRUE(file.find({kWindow}, 0x2000)[0]);  // the file is shorter than its segment
  EXPECT_TRUE(file.find({kWindow}, 0)[0]);
  EXPECT_TRUE(file.find({{0x9000, 0x9004}})[0]);  // in no segment
}

/// The branch's opcode, and where its distance is.
struct ArmBranch {
  const char* name;
  std::uint32_t opcode;
  unsigned shift;
  std::uint32_t mask;
};

TEST(JumpScan, KnowsTheBranchesOfArm64) {
  constexpr ArmBranch kBranches[] = {
      {"b", 0x14000000, 0, 0x3ffffff},  {"bl", 0x94000000, 0, 0x3ffffff},
      {"b.eq", 0x54000000, 5, 0x7ffff}, {"cbz", 0xb4000000, 5, 0x7ffff},
      {"cbnz", 0x35000000, 5, 0x7ffff}, {"tbz", 0x36000000, 5, 0x3fff},
      {"tbnz", 0xb7000000, 5, 0x3fff},
  };
  for (const ArmBranch& branch : kBranches) {
    for (const std::int64_t from : {0x800, 0x2000}) {
      CodeFile file(0x3000, Machine::arm64);
      const auto words = static_cast<std::uint32_t>((0x1004 - from) / 4);
      file.put_word(static_cast<std::size_t>(from), branch.opcode | (words & branch.mask)
                                                                        << branch.shift);
      EXPECT_TRUE(file.find({kWindow})[0]) << branch.name << " from " << from;
      EXPECT_FALSE(file.find({{0x1100, 0x1108}})[0]) << branch.name;
    }
  }
}

// test rdi, rdi; je …; and a loop that comes back to the je.
TEST(ChooseSites, StayAtTheEntryWhenAJumpLeadsInBetween) {
  const SiteRequest request{.function = {.name = "f", .file_offset = 0x1000, .size = 0x40},
                            .needs = {.arguments = 1, .stack_pointer = false}};
  CodeFile file(0x3000);
  file.put(0x1000, {0x48, 0x85, 0xff, 0x74, 0x20});
  const auto good = file.choose({request});
  ASSERT_EQ(good.size(), 1U);
  EXPECT_EQ(good[0].offset, 0x1003U);

  file.put_short(0x1010, 0xeb, 0x1003);
  const auto sites = file.choose({request, request});
  ASSERT_EQ(sites.size(), 2U);
  for (const ProbeSite& site : sites) {
    EXPECT_EQ(site.offset, 0x1000U);
    EXPECT_FALSE(site.emulated);
    EXPECT_EQ(site.why_entry, "a jump leads in between it and je 0x1025");
  }
}

}  // namespace
}  // namespace leaktrace::tracer
