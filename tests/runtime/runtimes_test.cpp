// SPDX-License-Identifier: Apache-2.0
// Programs of language runtimes that do with stacks what C does not: Go moves them, a Java virtual
// machine overflows and unwinds them. Traced, or beside a trace whose probes are in all processes,
// they count what they count untraced, and end with status 0.
#include <gmock/gmock.h>

#include <map>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/waiting_program.h"

namespace leaktrace::runtime {
namespace {

constexpr const char* kRounds = "200";

std::vector<std::string> command_of(const std::string& runtime) {
  if (runtime == "go") return {testprog("foreign/moving_stacks"), kRounds};
  const std::string classes = testprog("foreign");
  return {"java", "-Xmx64m", "-Xshare:auto", "-cp", classes, "DeepStacks", kRounds};
}

class RuntimesTest : public RuntimeTest, public testing::WithParamInterface<const char*> {
 protected:
  static std::string said_untraced() {
    WaitingProgram program(command_of(GetParam()), {});
    program.begin();
    program.await_end();
    return program.said();
  }
  /// What the program says when it is traced from before its work on.
  static std::string said_traced(const std::vector<std::string>& options) {
    WaitingProgram program(command_of(GetParam()), {});
    Attached leaktrace({program.pid()}, options);
    program.begin();
    program.await_end();
    const Report report = leaktrace.stop();
    EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
    std::string said = program.said();
    for (const auto& [function, amount] : leaks_said(said)) {
      EXPECT_EQ(report.outstanding(function, "heap"), amount) << function;
    }
    return said;
  }
};

TEST_P(RuntimesTest, IsTracedExactlyAndNoticesNothing) {
  const std::string untraced = said_untraced();
  EXPECT_NE(untraced, "");
  EXPECT_EQ(said_traced(exactly()), untraced);
}

TEST_P(RuntimesTest, IsTracedByDefaultAndNoticesNothing) {
  WaitingProgram program(command_of(GetParam()), {});
  Attached leaktrace({program.pid()});
  program.begin();
  program.await_end();
  leaktrace.stop();
  EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
  EXPECT_EQ(program.said(), said_untraced());
}

TEST_P(RuntimesTest, BesideATraceInAllProcessesNoticesNothing) {
  const std::string untraced = said_untraced();
  for (const char* mode : {"session", "multi", "single"}) {
    SCOPED_TRACE(mode);
    WaitingProgram target({testprog("returns/return_address"), "--wait", "--linger", kRounds}, {});
    WaitingProgram bystander(command_of(GetParam()), {});
    Attached leaktrace({target.pid()}, exactly({"--follow", "--probe-mode", mode}));
    target.begin();
    bystander.begin();
    target.await_end();
    bystander.await_end();
    leaktrace.stop();
    EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
    EXPECT_EQ(bystander.said(), untraced);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, RuntimesTest, testing::Values("go", "java"),
                         [](const auto& runtime) { return std::string(runtime.param); });

}  // namespace
}  // namespace leaktrace::runtime
