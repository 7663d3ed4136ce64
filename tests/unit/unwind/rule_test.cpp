// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/rule.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "user/base/unique_fd.h"
#include "user/unwind/table.h"

namespace leaktrace::unwind {
namespace {

lt_unwind_rule frame(lt_unwind_cfa cfa, int32_t cfa_offset) {
  lt_unwind_rule rule{};
  rule.cfa = cfa;
  rule.cfa_offset = cfa_offset;
  rule.ra = LT_UNWIND_RA_AT_CFA;
  rule.ra_offset = -8;
  return rule;
}

TEST(RulePacker, PacksTheUsualFrame) {
  lt_unwind_rule rule = frame(LT_UNWIND_CFA_SP, 48);
  rule.fp = LT_UNWIND_FP_SLOT;
  rule.fp_offset = -16;
  RulePacker packer;
  const uint64_t row = packer.pack(rule);
  EXPECT_EQ(LT_UNWIND_ROW_CFA(row), __u32{LT_UNWIND_CFA_SP});
  EXPECT_EQ(LT_UNWIND_ROW_CFA_OFFSET(row), 48);
  EXPECT_EQ(LT_UNWIND_ROW_FP(row), __u32{LT_UNWIND_FP_SLOT});
  EXPECT_EQ(LT_UNWIND_ROW_SLOT_OFFSET(row), -16);
  EXPECT_EQ(LT_UNWIND_ROW_RA(row), __u32{LT_UNWIND_RA_BELOW_CFA});
  EXPECT_EQ(LT_UNWIND_ROW_ADDRESS(row), 0U);
  EXPECT_THAT(packer.take_rules(), testing::IsEmpty());
}

TEST(RulePacker, PacksArm64Frames) {
  RulePacker packer;
  lt_unwind_rule pair = frame(LT_UNWIND_CFA_FP, 96);
  pair.fp = LT_UNWIND_FP_SLOT;
  pair.fp_offset = -96;
  pair.ra_offset = -88;
  EXPECT_EQ(LT_UNWIND_ROW_RA(packer.pack(pair)), __u32{LT_UNWIND_RA_AFTER_FP});

  lt_unwind_rule link_saved = frame(LT_UNWIND_CFA_SP, 32);
  link_saved.ra_offset = -32;
  const uint64_t row = packer.pack(link_saved);
  EXPECT_EQ(LT_UNWIND_ROW_RA(row), __u32{LT_UNWIND_RA_SLOT});
  EXPECT_EQ(LT_UNWIND_ROW_SLOT_OFFSET(row), -32);

  lt_unwind_rule leaf = frame(LT_UNWIND_CFA_SP, 0);
  leaf.ra = LT_UNWIND_RA_LINK;
  EXPECT_EQ(LT_UNWIND_ROW_RA(packer.pack(leaf)), __u32{LT_UNWIND_RA_LINK});

  lt_unwind_rule apart = pair;
  apart.ra_offset = -24;
  EXPECT_EQ(LT_UNWIND_ROW_CFA(packer.pack(apart)), __u32{LT_UNWIND_CFA_RULE});
}

TEST(RulePacker, KeepsTheLargestFrameThatFitsAndMakesARuleOfTheNext) {
  RulePacker packer;
  EXPECT_EQ(LT_UNWIND_ROW_CFA_OFFSET(packer.pack(frame(LT_UNWIND_CFA_SP, 32767 * 8))), 32767 * 8);
  EXPECT_EQ(LT_UNWIND_ROW_CFA(packer.pack(frame(LT_UNWIND_CFA_SP, 32768 * 8))),
            __u32{LT_UNWIND_CFA_RULE});
  EXPECT_EQ(LT_UNWIND_ROW_CFA(packer.pack(frame(LT_UNWIND_CFA_SP, 20))), __u32{LT_UNWIND_CFA_RULE});
}

TEST(RulePacker, KeepsEachRuleOnce) {
  RulePacker packer;
  const uint64_t first = packer.pack(frame(LT_UNWIND_CFA_AT_FP, -8));
  const uint64_t other = packer.pack(frame(LT_UNWIND_CFA_AT_FP, -16));
  EXPECT_EQ(packer.pack(frame(LT_UNWIND_CFA_AT_FP, -8)), first);
  EXPECT_NE(first, other);
  EXPECT_EQ(LT_UNWIND_ROW_RULE(other), 1U);
  EXPECT_THAT(packer.take_rules(), testing::SizeIs(2));
}

std::vector<lt_unwind_rule> rules_of(const char* path) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  auto table = read_table(fd.get());
  return table ? table->rules : std::vector<lt_unwind_rule>{};
}

#ifdef __x86_64__
TEST(Rule, ReadsRegistersOfSignalFramesWhereTheKernelPutThem) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&std::abort), &info), 0);
  const auto rules = rules_of(info.dli_fname);
  const auto signal = std::find_if(rules.begin(), rules.end(), [](const lt_unwind_rule& rule) {
    return (rule.flags & LT_UNWIND_SIGNAL) != 0;
  });
  ASSERT_NE(signal, rules.end()) << info.dli_fname << " has no frame of a signal's return";
  // struct ucontext: 40 bytes, then gregs; rbp, rsp and rip are the 11th, 16th and 17th.
  EXPECT_EQ(signal->cfa, LT_UNWIND_CFA_AT_SP);
  EXPECT_EQ(signal->cfa_offset, 40 + 15 * 8);
  EXPECT_EQ(signal->fp, LT_UNWIND_FP_AT_SP);
  EXPECT_EQ(signal->fp_offset, 40 + 10 * 8);
  EXPECT_EQ(signal->ra, LT_UNWIND_RA_AT_SP);
  EXPECT_EQ(signal->ra_offset, 40 + 16 * 8);
}

TEST(Rule, KnowsLazyBindingStubs) {
  const auto rules = rules_of("/proc/self/exe");
  const bool has_plt = std::any_of(rules.begin(), rules.end(), [](const lt_unwind_rule& rule) {
    return rule.cfa == LT_UNWIND_CFA_PLT && rule.cfa_offset == 8 && rule.cfa_addend > 0;
  });
  EXPECT_TRUE(has_plt);
}
#endif

}  // namespace
}  // namespace leaktrace::unwind
