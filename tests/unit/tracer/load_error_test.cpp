// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/load_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace leaktrace::tracer {
namespace {

using testing::HasSubstr;
using testing::Not;

Capabilities with(std::uint64_t mask) {
  Capabilities own;
  own.effective = CapabilitySet(mask);
  return own;
}
constexpr std::uint64_t kAll = (1ULL << 41) - 1;
constexpr std::uint64_t kBpf = 1ULL << 39;

TEST(RefusalReason, IsTheLastLineBeforeTheStatistics) {
  EXPECT_EQ(refusal_reason("func#0 @0\n"
                           "0: R1=ctx(off=0,imm=0) R10=fp0\n"
                           "combined stack size of 3 calls is 528. Too large\n"
                           "verification time 8253 usec\n"
                           "stack depth 224+56+0+264+8+16+56\n"
                           "processed 13984 insns (limit 1000000) max_states_per_insn 5\n"),
            "combined stack size of 3 calls is 528. Too large");
}

TEST(RefusalReason, IsNoInstructionAndNoSourceLine) {
  EXPECT_EQ(refusal_reason("R2 !read_ok\n"
                           "; return *bytes; @ a.c:3\n"
                           "12: (71) r0 = *(u8 *)(r2 +0)\n"
                           "from 3 to 5: R0=inv0\n"
                           "processed 13 insns (limit 1000000)\n"),
            "R2 !read_ok");
}

TEST(RefusalReason, OfAProgramThatIsTooLarge) {
  EXPECT_EQ(refusal_reason("BPF program is too large. Processed 1000001 insn\n"
                           "processed 1000001 insns (limit 1000000)"),
            "BPF program is too large. Processed 1000001 insn");
}

TEST(RefusalReason, IsEmptyWhereThereIsNone) {
  EXPECT_EQ(refusal_reason(""), "");
  EXPECT_EQ(refusal_reason("\n\n"), "");
  EXPECT_EQ(refusal_reason("processed 0 insns\n"), "");
}

TEST(LoadError, NamesTheProgramThatWasRefused) {
  const auto error =
      load_error(-EACCES, RefusedProgram{"release_enter", "R2 !read_ok"}, with(kAll)).error;
  EXPECT_EQ(error.what, "the kernel refused the BPF program release_enter: R2 !read_ok");
  EXPECT_THAT(error.advice, Not(HasSubstr("root")));
}

TEST(LoadError, SaysSomethingOfAProgramThatWasRefusedWithoutAWord) {
  EXPECT_THAT(load_error(-EINVAL, RefusedProgram{"call_session", ""}, with(kAll)).error.what,
              HasSubstr("call_session: no reason given: Invalid argument"));
}

TEST(LoadError, NamesTheCapabilitiesThatAreMissing) {
  EXPECT_THAT(load_error(-EPERM, {}, with(0)).error.what, HasSubstr("CAP_BPF and CAP_PERFMON"));
  const auto error = load_error(-EPERM, {}, with(kBpf)).error;
  EXPECT_THAT(error.what, HasSubstr(": CAP_PERFMON missing"));
  EXPECT_THAT(error.advice, HasSubstr("run as root"));
}

TEST(LoadError, DoesNotTellRootToRunAsRoot) {
  const auto error = load_error(-EPERM, {}, with(kAll)).error;
  EXPECT_THAT(error.what, HasSubstr("no capability is missing"));
  EXPECT_THAT(error.advice, HasSubstr("lockdown"));
  EXPECT_THAT(error.advice, Not(HasSubstr("run as root")));
}

TEST(LoadError, OfAUserNamespaceSaysThatCapabilitiesDoNotCount) {
  auto own = with(kAll);
  own.initial_user_namespace = false;
  EXPECT_THAT(load_error(-EPERM, {}, own).error.what, HasSubstr("user namespace"));
}

TEST(LoadError, OfAKernelWithoutBtfAsksForIt) {
  EXPECT_THAT(load_error(-ESRCH, {}, with(kAll)).error.advice, HasSubstr("BTF"));
}

}  // namespace
}  // namespace leaktrace::tracer
