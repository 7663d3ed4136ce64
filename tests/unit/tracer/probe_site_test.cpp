// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/probe_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace leaktrace::tracer {
namespace {

using enum InstructionClass;
using testing::HasSubstr;

using Code = std::vector<std::uint8_t>;

/// What x86-64 kernels up to 6.17 emulate.
const ClassSet kX86 =
    class_set({push, push_extended, nop, jump_short, jump_near, branch_short, branch_near, call});
const ClassSet kArm = class_set({a64_branch, a64_branch_condition, a64_branch_zero, a64_branch_bit,
                                 a64_call, a64_ret, a64_address});

constexpr std::uint64_t kEntry = 0x1000;

constexpr SiteNeeds argument_and_return{.arguments = 1, .stack_pointer = true};
constexpr SiteNeeds argument_only{.arguments = 1, .stack_pointer = false};

ProbeSite choose(const Code& code, const SiteNeeds& needs, const ClassSet& emulated = kX86) {
  auto decoder = Decoder::create(Machine::x86_64);
  EXPECT_TRUE(decoder);
  return choose_site(*decoder, code, kEntry, needs, emulated);
}

Code words(std::initializer_list<std::uint32_t> list) {
  Code code;
  for (std::uint32_t word : list) {
    for (int shift = 0; shift < 32; shift += 8) {
      code.push_back(static_cast<std::uint8_t>(word >> shift));
    }
  }
  return code;
}

ProbeSite choose_arm(std::initializer_list<std::uint32_t> code, const SiteNeeds& needs,
                     const ClassSet& emulated = kArm) {
  auto decoder = Decoder::create(Machine::arm64);
  EXPECT_TRUE(decoder);
  return choose_site(*decoder, words(code), kEntry, needs, emulated);
}

Instruction decode(const Code& code) {
  auto decoder = Decoder::create(Machine::x86_64);
  EXPECT_TRUE(decoder);
  auto instruction = decoder->decode(code, kEntry);
  EXPECT_TRUE(instruction);
  return instruction.value_or(Instruction{});
}

TEST(ChooseSite, TakesAPushAtTheEntry) {
  const auto site = choose({0x41, 0x54, 0x55, 0x53}, argument_and_return);  // push r12; push rbp
  EXPECT_EQ(site.offset, kEntry);
  EXPECT_EQ(site.size, 2U);
  EXPECT_TRUE(site.emulated);
  EXPECT_EQ(site.of_class, push_extended);
  EXPECT_EQ(site.instruction, "push r12");
  EXPECT_TRUE(site.passed_over.empty());
  EXPECT_EQ(site.why_entry, "");
}

TEST(ChooseSite, GoesPastEndbr) {
  const auto site = choose({0xf3, 0x0f, 0x1e, 0xfa, 0x55}, argument_and_return);
  EXPECT_EQ(site.offset, kEntry + 4);
  EXPECT_TRUE(site.emulated);
  ASSERT_EQ(site.passed_over.size(), 1U);
  EXPECT_EQ(site.passed_over[0].instruction, "endbr64");
  EXPECT_EQ(site.passed_over[0].why, "single-stepped");
  EXPECT_EQ(site.pushed, 0U);
}

// free in glibc 2.36: test rdi, rdi; je …
TEST(ChooseSite, TakesTheBranchItself) {
  const auto site =
      choose({0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0x00, 0x00, 0x00, 0x55}, argument_only);
  EXPECT_EQ(site.offset, kEntry + 3);
  EXPECT_EQ(site.of_class, branch_near);
  EXPECT_EQ(site.instruction, "je 0x10c8");
}

TEST(ChooseSite, DoesNotGoPastABranchThatIsStepped) {
  ClassSet without = kX86;
  without.reset(static_cast<std::size_t>(branch_near));
  const auto site =
      choose({0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0x00, 0x00, 0x00, 0x55}, argument_only, without);
  EXPECT_EQ(site.offset, kEntry);
  EXPECT_FALSE(site.emulated);
  EXPECT_THAT(site.why_entry, HasSubstr("leaves the entry block"));
  EXPECT_EQ(site.passed_over.size(), 2U);
}

TEST(ChooseSite, StopsWhereANeededArgumentIsOverwritten) {
  const Code code = {0x89, 0xf7, 0x55};  // mov edi, esi; push rbp
  const auto site = choose(code, argument_and_return);
  EXPECT_EQ(site.offset, kEntry);
  EXPECT_FALSE(site.emulated);
  EXPECT_THAT(site.why_entry, HasSubstr("overwrites an argument"));
  // The same code serves a row that needs the second argument.
  EXPECT_EQ(choose(code, {.arguments = 2, .stack_pointer = true}).offset, kEntry + 2);
}

TEST(ChooseSite, KeepsTheStackPointerForReturnProbes) {
  const Code code = {0x48, 0x83, 0xec, 0x18, 0x48, 0x85, 0xff, 0x74, 0x10};  // sub; test; je
  const auto site = choose(code, argument_and_return);
  EXPECT_EQ(site.offset, kEntry);
  EXPECT_THAT(site.why_entry, HasSubstr("stack pointer"));
  const auto release = choose(code, argument_only);
  EXPECT_EQ(release.offset, kEntry + 7);
  EXPECT_EQ(release.pushed, 0x18U);
}

TEST(ChooseSite, AddsUpWhatWasPushed) {
  ClassSet branches = class_set({branch_short});
  // push rbp; push r12; sub rsp, 0x108; add rsp, -8; je
  const auto site = choose({0x55, 0x41, 0x54, 0x48, 0x81, 0xec, 0x08, 0x01, 0x00, 0x00, 0x48, 0x83,
                            0xc4, 0xf8, 0x74, 0x00},
                           argument_only, branches);
  EXPECT_EQ(site.offset, kEntry + 14);
  EXPECT_EQ(site.pushed, 8U + 8 + 0x108 + 8);
}

TEST(ChooseSite, DeclinesAStackThatIsMovedByWhoKnowsWhat) {
  for (const Code& moves : {Code{0x48, 0x83, 0xe4, 0xf0},     // and rsp, -16
                            Code{0x48, 0x29, 0xc4},           // sub rsp, rax
                            Code{0x58},                       // pop rax
                            Code{0x66, 0x50},                 // push ax
                            Code{0xc9},                       // leave
                            Code{0x48, 0x83, 0xc4, 0x08}}) {  // add rsp, 8
    Code code = moves;
    code.insert(code.end(), {0x74, 0x00});
    const auto site = choose(code, argument_only, class_set({branch_short}));
    EXPECT_EQ(site.offset, kEntry) << decode(moves).text;
  }
}

TEST(ChooseSite, TakesAFiveByteNopOnlyBeforeStores) {
  ClassSet with_nop = kX86;
  with_nop.set(static_cast<std::size_t>(nop_five));
  const Code nop = {0x0f, 0x1f, 0x44, 0x00, 0x00};
  EXPECT_EQ(choose(nop, argument_and_return, with_nop).offset, kEntry);
  Code code = {0x48, 0x89, 0x7c, 0x24, 0xf8};  // mov [rsp-8], rdi
  code.insert(code.end(), nop.begin(), nop.end());
  code.push_back(0x55);
  const auto site = choose(code, argument_and_return, with_nop);
  EXPECT_EQ(site.of_class, push);
  EXPECT_EQ(site.passed_over.size(), 2U);
}

TEST(ChooseSite, PrefixesMakeAnInstructionAnother) {
  EXPECT_EQ(classify(Machine::x86_64, Code{0xe9, 0, 0, 0, 0}), jump_near);
  EXPECT_EQ(classify(Machine::x86_64, Code{0xf2, 0xe9, 0, 0, 0, 0}), other);  // bnd jmp
  EXPECT_EQ(classify(Machine::x86_64, Code{0x66, 0xe8, 0, 0}), other);        // callw
  EXPECT_EQ(classify(Machine::x86_64, Code{0x66, 0x50}), other);              // push ax
  EXPECT_EQ(classify(Machine::x86_64, Code{0xf3, 0x90}), other);              // pause
  EXPECT_EQ(classify(Machine::x86_64, Code{0x48, 0x50}), other);              // rex.w push rax
  EXPECT_EQ(classify(Machine::x86_64, Code{0x66, 0x90}), other);
  EXPECT_EQ(classify(Machine::x86_64, Code{}), other);
}

TEST(ChooseSite, StopsAtTheEndOfTheFunction) {
  const auto site = choose({0x48, 0x85, 0xff}, argument_only);  // the je is another function's
  EXPECT_EQ(site.offset, kEntry);
  EXPECT_FALSE(site.emulated);
  const auto cut = choose({0x48, 0x85, 0xff, 0x0f, 0x84, 0x01}, argument_only);
  EXPECT_EQ(cut.offset, kEntry);
  EXPECT_THAT(cut.why_entry, HasSubstr("decoded"));
  const auto nothing = choose({}, argument_only);
  EXPECT_EQ(nothing.offset, kEntry);
  EXPECT_EQ(nothing.size, 0U);
}

TEST(ChooseSite, LooksAtSixteenInstructionsAtMost) {
  Code code;
  for (int i = 0; i < 15; ++i) code.insert(code.end(), {0x31, 0xc0});  // xor eax, eax
  code.push_back(0x55);
  EXPECT_EQ(choose(code, argument_and_return).offset, kEntry + 30);
  code.insert(code.begin(), {0x31, 0xc0});
  EXPECT_EQ(choose(code, argument_and_return).offset, kEntry);
}

TEST(ChooseSite, IsTheEntryWhereItIsEmulatedAndNothingElseCanBe) {
  const auto site = choose({0x0f, 0x0b, 0x55}, argument_and_return);  // ud2
  EXPECT_EQ(site.offset, kEntry);
}

// Whatever the bytes, the choice is within them and does not depend on what follows the site.
TEST(ChooseSite, StaysWithinRandomBytes) {
  std::mt19937 random(1);
  auto decoder = Decoder::create(Machine::x86_64);
  ASSERT_TRUE(decoder);
  for (int round = 0; round < 20000; ++round) {
    Code code(random() % 48);
    for (auto& byte : code) byte = static_cast<std::uint8_t>(random());
    const auto site = choose_site(*decoder, code, kEntry, argument_only, kX86);
    ASSERT_GE(site.offset, kEntry);
    const std::size_t end = site.offset - kEntry + site.size;
    ASSERT_LE(end, code.size());
    ASSERT_LE(site.passed_over.size(), 16U);
    if (!site.emulated) continue;
    code.resize(end);
    const auto again = choose_site(*decoder, code, kEntry, argument_only, kX86);
    ASSERT_EQ(again.offset, site.offset);
    ASSERT_EQ(again.pushed, site.pushed);
  }
}

struct Overwrite {
  const char* what;
  Code code;
  std::uint32_t arguments;
};

// Sub-registers, second destinations and implicit ones count.
TEST(Decoder, KnowsWhichArgumentsAnInstructionOverwrites) {
  const std::vector<Overwrite> cases = {
      {"mov dil, 1", {0x40, 0xb7, 0x01}, 1},
      {"mov di, 1", {0x66, 0xbf, 0x01, 0x00}, 1},
      {"xor esi, esi", {0x31, 0xf6}, 2},
      {"mov dh, 1", {0xb6, 0x01}, 4},
      {"xchg rdi, rsi", {0x48, 0x87, 0xfe}, 3},
      {"xchg rax, rdi", {0x48, 0x97}, 1},
      {"mul rax", {0x48, 0xf7, 0xe0}, 4},
      {"imul rdi, rsi", {0x48, 0x0f, 0xaf, 0xfe}, 1},
      {"imul rdi, rsi, 8", {0x48, 0x6b, 0xfe, 0x08}, 1},
      {"div rsi", {0x48, 0xf7, 0xf6}, 4},
      {"cqo", {0x48, 0x99}, 4},
      {"cdq", {0x99}, 4},
      {"cpuid", {0x0f, 0xa2}, 4 + 8},
      {"rdtsc", {0x0f, 0x31}, 4},
      {"rep movsb", {0xf3, 0xa4}, 1 + 2 + 8},
      {"rep stosq", {0xf3, 0x48, 0xab}, 1 + 8},
      {"lodsq", {0x48, 0xad}, 2},
      {"scasb", {0xae}, 1},
      {"cmovne rdi, rax", {0x48, 0x0f, 0x45, 0xf8}, 1},
      {"sete dil", {0x40, 0x0f, 0x94, 0xc7}, 1},
      {"movzx edi, al", {0x0f, 0xb6, 0xf8}, 1},
      {"movsxd rdi, edi", {0x48, 0x63, 0xff}, 1},
      {"lea rsi, [rdi-16]", {0x48, 0x8d, 0x77, 0xf0}, 2},
      {"inc rdi", {0x48, 0xff, 0xc7}, 1},
      {"neg rdi", {0x48, 0xf7, 0xdf}, 1},
      {"not rdi", {0x48, 0xf7, 0xd7}, 1},
      {"bswap rdi", {0x48, 0x0f, 0xcf}, 1},
      {"shl rdi, 1", {0x48, 0xd1, 0xe7}, 1},
      {"shl rdi, cl", {0x48, 0xd3, 0xe7}, 1},
      {"shld rdi, rax, 1", {0x48, 0x0f, 0xa4, 0xc7, 0x01}, 1},
      {"xadd rdi, rax", {0x48, 0x0f, 0xc1, 0xc7}, 1},
      {"cmpxchg rdi, rsi", {0x48, 0x0f, 0xb1, 0xf7}, 1},
      {"bsr rdi, rdi", {0x48, 0x0f, 0xbd, 0xff}, 1},
      {"lzcnt rdi, rax", {0xf3, 0x48, 0x0f, 0xbd, 0xf8}, 1},
      {"popcnt rdi, rax", {0xf3, 0x48, 0x0f, 0xb8, 0xf8}, 1},
      {"andn rdi, rsi, rax", {0xc4, 0xe2, 0xc8, 0xf2, 0xf8}, 1},
      {"blsr rdi, rax", {0xc4, 0xe2, 0xc0, 0xf3, 0xc8}, 1},
      {"shlx rdi, rax, rsi", {0xc4, 0xe2, 0xc9, 0xf7, 0xf8}, 1},
      {"mulx rdi, rsi, rax", {0xc4, 0xe2, 0xcb, 0xf6, 0xf8}, 3},
      {"bextr rdi, rax, rsi", {0xc4, 0xe2, 0xc8, 0xf7, 0xf8}, 1},
      {"rorx rdi, rax, 1", {0xc4, 0xe3, 0xfb, 0xf0, 0xf8, 0x01}, 1},
      {"pext rdi, rsi, rax", {0xc4, 0xe2, 0xca, 0xf5, 0xf8}, 1},
      {"movq rdi, xmm0", {0x66, 0x48, 0x0f, 0x7e, 0xc7}, 1},
      {"cvttsd2si rdi, xmm0", {0xf2, 0x48, 0x0f, 0x2c, 0xf8}, 1},
      {"pmovmskb edi, xmm0", {0x66, 0x0f, 0xd7, 0xf8}, 1},
      {"vpmovmskb edi, ymm0", {0xc5, 0xfd, 0xd7, 0xf8}, 1},
      {"movmskps edi, xmm0", {0x0f, 0x50, 0xf8}, 1},
      {"pextrq rdi, xmm0, 1", {0x66, 0x48, 0x0f, 0x3a, 0x16, 0xc7, 0x01}, 1},
      {"rdrand rdi", {0x48, 0x0f, 0xc7, 0xf7}, 1},
      {"rdfsbase rdi", {0xf3, 0x48, 0x0f, 0xae, 0xc7}, 1},
      {"xgetbv", {0x0f, 0x01, 0xd0}, 4},
      {"mov r8d, eax", {0x41, 0x89, 0xc0}, 16},
      {"mov r9b, al", {0x41, 0x88, 0xc1}, 32},
      {"mov rdi, fs:0", {0x64, 0x48, 0x8b, 0x3c, 0x25, 0, 0, 0, 0}, 1},
      {"test rdi, rdi", {0x48, 0x85, 0xff}, 0},
      {"cmp rdi, rsi", {0x48, 0x39, 0xf7}, 0},
      {"mov [rdi], rsi", {0x48, 0x89, 0x37}, 0},
      {"movq xmm0, rdi", {0x66, 0x48, 0x0f, 0x6e, 0xc7}, 0},
      {"mov rax, rdi", {0x48, 0x89, 0xf8}, 0},
      {"lea rax, [rdi+1]", {0x48, 0x8d, 0x47, 0x01}, 0},
      {"prefetcht0 [rdi]", {0x0f, 0x18, 0x0f}, 0},
  };
  for (const Overwrite& one : cases) {
    const Instruction instruction = decode(one.code);
    EXPECT_EQ(instruction.size, one.code.size()) << one.what;
    EXPECT_EQ(instruction.arguments_written & one.arguments, one.arguments)
        << one.what << " read as " << instruction.text;
    if (one.arguments == 0) {
      EXPECT_EQ(instruction.arguments_written, 0U) << one.what;
    }
  }
}

TEST(Decoder, EndsTheBlockWhereControlMayLeave) {
  for (const Code& code : {Code{0xeb, 0x00}, Code{0x74, 0x00}, Code{0xe8, 0, 0, 0, 0}, Code{0xc3},
                           Code{0xff, 0xe0}, Code{0xff, 0xd0}, Code{0x0f, 0x05}, Code{0xcc},
                           Code{0xe3, 0x00}, Code{0xe2, 0x00}, Code{0xf4}}) {
    EXPECT_TRUE(decode(code).leaves_block) << decode(code).text;
  }
  for (const Code& code : {Code{0x90}, Code{0x55}, Code{0x48, 0x85, 0xff}}) {
    EXPECT_FALSE(decode(code).leaves_block) << decode(code).text;
  }
}

// stp x29, x30, [sp, #-32]!; mov x29, sp; cbz x0
TEST(ChooseSiteArm64, KeepsStackPointerAndReturnAddress) {
  const auto code = {0xa9be7bfdU, 0x910003fdU, 0xb4000040U};
  EXPECT_EQ(choose_arm(code, argument_and_return).offset, kEntry);
  const auto release = choose_arm(code, argument_only);
  EXPECT_EQ(release.offset, kEntry + 8);
  EXPECT_EQ(release.of_class, a64_branch_zero);
  EXPECT_EQ(release.pushed, 32U);
  ClassSet newer = kArm;
  newer.set(static_cast<std::size_t>(a64_push_frame));
  EXPECT_TRUE(choose_arm(code, argument_and_return, newer).emulated);
}

// A return probe that came after paciasp would put an unsigned address in its place, which the
// function's autiasp takes for an attack.
TEST(ChooseSiteArm64, DoesNotGoPastTheSigningOfTheReturnAddress) {
  EXPECT_EQ(choose_arm({0xd503233f, 0xb4000040}, argument_and_return).offset, kEntry);
  EXPECT_EQ(choose_arm({0xd503233f, 0xb4000040}, argument_only).offset, kEntry);
  EXPECT_EQ(choose_arm({0xd503237f, 0xb4000040}, argument_only).offset, kEntry);  // pacibsp
  EXPECT_EQ(choose_arm({0xd503245f, 0xb4000040}, argument_and_return).offset, kEntry + 4);  // bti c
  EXPECT_EQ(choose_arm({0xaa1e03e9, 0xb4000040}, argument_and_return).offset,
            kEntry);  // mov x9, x30
}

TEST(ChooseSiteArm64, KnowsItsInstructions) {
  EXPECT_EQ(choose_arm({0xf1000c1f, 0x54000040}, argument_and_return).of_class,
            a64_branch_condition);  // cmp x0, #3; b.eq
  EXPECT_EQ(choose_arm({0xd2800000, 0x14000004}, argument_and_return).offset,
            kEntry);  // mov x0, #0; b
  EXPECT_EQ(choose_arm({0x2a0103e0, 0x14000004}, argument_and_return).offset,
            kEntry);                                                             // mov w0, w1; b
  EXPECT_EQ(choose_arm({0xd10083ff, 0xb4000040}, argument_only).pushed, 32U);    // sub sp, sp, #32
  EXPECT_EQ(choose_arm({0xd14007ff, 0xb4000040}, argument_only).pushed, 4096U);  // …, #1, lsl #12
  EXPECT_EQ(choose_arm({0xf81f0ff3, 0xb4000040}, argument_only).pushed, 16U);  // str x19,[sp,#-16]!
  EXPECT_EQ(choose_arm({0xf84107f3, 0xb4000040}, argument_only).offset,
            kEntry);  // ldr x19, [sp], #16
  EXPECT_EQ(choose_arm({0xf8408c01, 0xb4000040}, argument_only).offset,
            kEntry);  // ldr x1, [x0, #8]!
  EXPECT_EQ(choose_arm({0x90000008, 0xb4000040}, argument_only).of_class, a64_address);  // adrp
  EXPECT_EQ(choose_arm({0x58000048, 0xb4000040}, argument_only).of_class,
            a64_branch_zero);  // ldr x8, literal
}

TEST(SiteNeeds, AreWhatTheRowReadsAtTheEntry) {
  const std::map<std::string, std::uint32_t> arguments = {
      {"malloc", 1},       {"free", 1},           {"calloc", 3},  {"realloc", 3},
      {"reallocarray", 7}, {"posix_memalign", 5}, {"mremap", 15}, {"mmap", 10}};
  std::size_t seen = 0;
  for (const catalog::Row& row : catalog::memory_rows()) {
    const SiteNeeds needs = needs_of(row);
    EXPECT_EQ(needs.stack_pointer, row.needs_return()) << row.symbol;
    auto expected = arguments.find(row.symbol);
    if (expected == arguments.end()) continue;
    EXPECT_EQ(needs.arguments, expected->second) << row.symbol;
    ++seen;
  }
  EXPECT_EQ(seen, arguments.size());
}

}  // namespace
}  // namespace leaktrace::tracer
