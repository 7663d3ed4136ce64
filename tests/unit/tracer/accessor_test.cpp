// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/accessor.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace leaktrace::tracer {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

using Code = std::vector<std::uint8_t>;

constexpr std::uint64_t kAddress = 0x400000;

std::string name_of(const AccessorValues& values, const LinearForm& value);

std::string name_of(const AccessorValues& values, const Atom& atom) {
  switch (atom.kind) {
    case Atom::Kind::argument:
      return "argument";
    case Atom::Kind::frame:
      return "frame";
    case Atom::Kind::image:
      return "image";
    case Atom::Kind::unknown:
      return "unknown";
    case Atom::Kind::load:
      break;
  }
  return fmt::format("load{}{}({})", atom.size, atom.is_signed ? "s" : "",
                     name_of(values, atom.address));
}

// "load8(load8(argument+400)+load4s(argument+396)*40+8)"
std::string name_of(const AccessorValues& values, const LinearForm& value) {
  std::string name;
  for (const LinearForm::Term& term : value.terms) {
    if (!name.empty()) name += "+";
    name += name_of(values, values.atoms[term.atom]);
    if (term.coefficient != 1) {
      name += fmt::format("*{}", static_cast<std::int64_t>(term.coefficient));
    }
  }
  const auto constant = static_cast<std::int64_t>(value.constant);
  if (name.empty()) return std::to_string(constant);
  return constant == 0 ? name : fmt::format("{}{:+}", name, constant);
}

std::vector<std::string> names(const AccessorValues& values) {
  std::vector<std::string> all;
  for (const LinearForm& value : values.returned) all.push_back(name_of(values, value));
  return all;
}

/// The values of x86-64 code, if all of it was understood.
std::vector<std::string> x86(const Code& code) {
  const AccessorValues values = evaluate_accessor(Machine::x86_64, code, kAddress);
  EXPECT_TRUE(values.whole);
  return names(values);
}

std::vector<std::string> arm(const std::vector<std::uint32_t>& words) {
  Code code(words.size() * 4);
  std::memcpy(code.data(), words.data(), code.size());
  const AccessorValues values = evaluate_accessor(Machine::arm64, code, kAddress);
  EXPECT_TRUE(values.whole);
  return names(values);
}

bool understood(const Code& code, Machine machine = Machine::x86_64) {
  return evaluate_accessor(machine, code, kAddress).whole;
}

TEST(Accessor, TakesBothWaysOfABranch) {
  EXPECT_THAT(x86({0x48, 0x85, 0xff,                      // test rdi, rdi
                   0x74, 0x04,                            // je
                   0x8b, 0x47, 0x28,                      // mov eax, [rdi + 0x28]
                   0xc3,                                  // ret
                   0xb8, 0x07, 0x00, 0x00, 0x00, 0xc3}),  // mov eax, 7
              UnorderedElementsAre("7", "load4(argument+40)"));
}

TEST(Accessor, TakesBothOutcomesOfAConditionalMove) {
  EXPECT_THAT(x86({0x31, 0xd2,              // xor edx, edx
                   0x48, 0x8d, 0x47, 0x2c,  // lea rax, [rdi + 0x2c]
                   0x48, 0x85, 0xff,        // test rdi, rdi
                   0x48, 0x0f, 0x44, 0xc2,  // cmove rax, rdx
                   0xc3}),
              UnorderedElementsAre("0", "argument+44"));
}

TEST(Accessor, FollowsAnIndexIntoAnArray) {
  EXPECT_THAT(x86({0xf3, 0x0f, 0x1e, 0xfa,                    // endbr64
                   0x48, 0x8b, 0x97, 0x90, 0x01, 0x00, 0x00,  // mov rdx, [rdi + 0x190]
                   0x48, 0x63, 0x87, 0x8c, 0x01, 0x00, 0x00,  // movsxd rax, [rdi + 0x18c]
                   0x48, 0x8d, 0x04, 0x80,                    // lea rax, [rax + rax * 4]
                   0x48, 0x8b, 0x44, 0xc2, 0x18,              // mov rax, [rdx + rax * 8 + 0x18]
                   0xc3}),
              ElementsAre("load8(load8(argument+400)+load4s(argument+396)*40+24)"));
}

TEST(Accessor, MultipliesByAConstant) {
  EXPECT_THAT(x86({0x48, 0x63, 0x47, 0x0c,          // movsxd rax, [rdi + 12]
                   0x48, 0x6b, 0xc0, 0x38,          // imul rax, rax, 56
                   0x48, 0x03, 0x47, 0x10,          // add rax, [rdi + 16]
                   0x48, 0x83, 0xe8, 0x08, 0xc3}),  // sub rax, 8
              ElementsAre("load4s(argument+12)*56+load8(argument+16)-8"));
}

TEST(Accessor, KeepsWhatIsOnTheStack) {
  EXPECT_THAT(x86({0x55,                    // push rbp
                   0x48, 0x89, 0xe5,        // mov rbp, rsp
                   0x48, 0x89, 0x7d, 0xf8,  // mov [rbp - 8], rdi
                   0x48, 0x8b, 0x45, 0xf8,  // mov rax, [rbp - 8]
                   0x8b, 0x40, 0x10,        // mov eax, [rax + 16]
                   0x48, 0x98,              // cdqe
                   0xc9, 0xc3}),            // leave
              ElementsAre("load4s(argument+16)"));
}

TEST(Accessor, TellsAnAddressOfTheFile) {
  EXPECT_THAT(x86({0x48, 0x8d, 0x05, 0x10, 0x00, 0x00, 0x00, 0xc3}),  // lea rax, [rip + 16]
              ElementsAre(fmt::format("image+{}", kAddress + 7 + 16)));
}

TEST(Accessor, ComputesConditionsAsNumbers) {
  EXPECT_THAT(x86({0x0f, 0x95, 0xc0,          // setne al
                   0x0f, 0xb6, 0xc0,          // movzx eax, al
                   0x83, 0xc0, 0x03, 0xc3}),  // add eax, 3
              UnorderedElementsAre("3", "4"));
  EXPECT_THAT(x86({0x48, 0xf7, 0xdf,          // neg rdi
                   0x19, 0xc0,                // sbb eax, eax
                   0x83, 0xe0, 0xfd,          // and eax, -3
                   0x83, 0xc0, 0x04, 0xc3}),  // add eax, 4
              UnorderedElementsAre("4", "1"));
}

TEST(Accessor, DoesNotTakePartOfAValueForTheWhole) {
  EXPECT_THAT(x86({0x89, 0xf8, 0xc3}), ElementsAre("unknown"));  // mov eax, edi
  EXPECT_THAT(x86({0x8b, 0x07, 0xd1, 0xe0, 0xc3}),               // mov eax, [rdi]; shl eax, 1
              ElementsAre("unknown"));
  EXPECT_THAT(x86({0x48, 0x8b, 0x47, 0x08, 0x89, 0xc0, 0xc3}),  // mov rax, [rdi + 8]; mov eax, eax
              ElementsAre("load4(argument+8)"));
}

TEST(Accessor, GivesUpWhatItDoesNotUnderstand) {
  EXPECT_FALSE(understood({}));
  EXPECT_FALSE(understood({0x31, 0xc0}));                          // no return
  EXPECT_FALSE(understood({0xe8, 0x00, 0x00, 0x00, 0x00, 0xc3}));  // call
  EXPECT_FALSE(understood({0xeb, 0x10, 0xc3}));                    // jmp past its end
  EXPECT_FALSE(understood({0xeb, 0xf0, 0xc3}));                    // jmp before it
  EXPECT_FALSE(understood({0xff, 0xe7}));                          // jmp rdi
  EXPECT_FALSE(understood({0x48, 0x89, 0x3f, 0xc3}));              // mov [rdi], rdi
  EXPECT_FALSE(understood({0x48, 0x89, 0x3c, 0x24, 0xc3}));        // mov [rsp], rdi
  EXPECT_FALSE(understood({0x48, 0x8b, 0x44, 0x24, 0xf8, 0xc3}));  // mov rax, [rsp - 8]
  EXPECT_FALSE(understood({0x50, 0xc3}));                          // push rax; ret
  EXPECT_FALSE(understood({0x0f, 0x05, 0xc3}));                    // syscall
  EXPECT_FALSE(understood({0x66, 0x0f, 0x6f, 0x07, 0xc3}));        // movdqa xmm0, [rdi]
  EXPECT_FALSE(understood({0x74, 0x01, 0xc3, 0xcc}));              // one way only
}

TEST(Accessor, EndsWithCodeThatDoesNot) {
  EXPECT_FALSE(understood({0xeb, 0xfe}));        // jmp to itself
  EXPECT_FALSE(understood({0x75, 0xfe, 0xc3}));  // jne to itself
  Code branches;
  for (int i = 0; i < 500; ++i) branches.insert(branches.end(), {0x75, 0x00});
  branches.push_back(0xc3);
  EXPECT_FALSE(understood(branches));
  Code growth;  // add rax, [rax + rax]
  for (int i = 0; i < 250; ++i) growth.insert(growth.end(), {0x48, 0x03, 0x04, 0x00});
  EXPECT_FALSE(understood(growth));
}

TEST(Accessor, ReadsArm64) {
  EXPECT_THAT(arm({0xb4000060,  // cbz x0, .+12
                   0xb9402800,  // ldr w0, [x0, #40]
                   0xd65f03c0,  // ret
                   0x528000e0,  // mov w0, #7
                   0xd65f03c0}),
              UnorderedElementsAre("7", "load4(argument+40)"));
  EXPECT_THAT(arm({0xd503245f,  // bti c
                   0xf940c801,  // ldr x1, [x0, #400]
                   0xb9818c02,  // ldrsw x2, [x0, #396]
                   0x52800503,  // mov w3, #40
                   0x9b030442,  // madd x2, x2, x3, x1
                   0xf9400c40,  // ldr x0, [x2, #24]
                   0xd65f03c0}),
              ElementsAre("load8(load8(argument+400)+load4s(argument+396)*40+24)"));
  EXPECT_THAT(arm({0x9100b001,  // add x1, x0, #44
                   0xf100001f,  // cmp x0, #0
                   0x9a8103e0,  // csel x0, xzr, x1, eq
                   0xd65f03c0}),
              UnorderedElementsAre("0", "argument+44"));
  EXPECT_THAT(arm({0xb0000000,  // adrp x0, .+0x1000
                   0x91004000,  // add x0, x0, #16
                   0xd65f03c0}),
              ElementsAre(fmt::format("image+{}", kAddress + 0x1000 + 16)));
}

TEST(Accessor, GivesUpOnArm64WhatItDoesNotUnderstand) {
  const auto understood_words = [](const std::vector<std::uint32_t>& words) {
    Code code(words.size() * 4);
    std::memcpy(code.data(), words.data(), code.size());
    return understood(code, Machine::arm64);
  };
  EXPECT_TRUE(understood_words({0xd65f03c0}));
  EXPECT_FALSE(understood_words({0x94000002, 0xd65f03c0}));  // bl
  EXPECT_FALSE(understood_words({0xd61f0000}));              // br x0
  EXPECT_FALSE(understood_words({0xf9000000, 0xd65f03c0}));  // str x0, [x0]
  EXPECT_FALSE(understood_words({0xaa0003fe, 0xd65f03c0}));  // mov x30, x0
  EXPECT_FALSE(understood_words({0xd10043ff, 0xd65f03c0}));  // sub sp, sp, #16
  EXPECT_FALSE(understood_words({0x14000000}));              // b to itself
  EXPECT_FALSE(understood_words({0x3dc00000, 0xd65f03c0}));  // ldr q0, [x0]
}

// Nothing is expected of it but an end.
TEST(Accessor, EndsWithAnyBytes) {
  std::mt19937_64 random(20240611);
  for (int i = 0; i < 6000; ++i) {
    Code code(1 + random() % 300);
    std::ranges::generate(code, [&] { return static_cast<std::uint8_t>(random()); });
    (void)evaluate_accessor(Machine::x86_64, code, random());
    (void)evaluate_accessor(Machine::arm64, code, random());
  }
}

}  // namespace
}  // namespace leaktrace::tracer
