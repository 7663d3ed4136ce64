// SPDX-License-Identifier: Apache-2.0
// Is the engine, as BPF_COMPILER compiles it, accepted by this kernel's verifier with room to
// spare? Prints a row of a table for each program; scripts/verifier puts them together.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "tests/bpf/engine/probe_mode_test.h"
#include "tests/bpf/verifier/verdicts.h"

namespace leaktrace::test {
namespace {

/// Of what the kernel allows: other kernels count differently, and the engine grows.
constexpr unsigned kUsablePercent = 80;

unsigned percent(std::uint64_t part, std::uint64_t whole) {
  return static_cast<unsigned>((part * 100 + whole - 1) / whole);
}

std::string kernel_release() {
  utsname name{};
  ::uname(&name);
  return name.release;
}

class Verifier : public ProbeModeTest {};

TEST_P(Verifier, AcceptsEachProgramWithRoomToSpare) {
  Verdicts verdicts;
  const auto engine = tracer::Engine::load({}, {}, GetParam(), verdicts.watch());
  ASSERT_TRUE(engine) << engine.error().message();
  ASSERT_FALSE(verdicts.all().empty());
  for (const auto& verdict : verdicts.all()) {
    const auto of_instructions = percent(verdict.instructions, kMaxInstructions);
    const auto of_stack = percent(verdict.stack_bytes(), kMaxStackBytes);
    fmt::print("| {} | {} | {} | {} | {} ({} %) | {} ({} %) | {} |\n", kernel_release(),
               BPF_COMPILER, probe_mode_name(testing::TestParamInfo(GetParam(), 0)),
               verdict.program, verdict.instructions, of_instructions, verdict.stack_bytes(),
               of_stack, verdict.chain_text());
    EXPECT_GT(verdict.instructions, 0U) << verdict.program;
    EXPECT_LE(of_instructions, kUsablePercent) << verdict.program;
    EXPECT_GT(verdict.stack_bytes(), 0U) << verdict.program;
    EXPECT_LE(of_stack, kUsablePercent) << verdict.program << ": " << verdict.chain_text();
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Verifier, every_probe_mode(), probe_mode_name);

}  // namespace
}  // namespace leaktrace::test
