// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/waiting_program.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <sstream>
#include <utility>

namespace leaktrace::runtime {

WaitingProgram::WaitingProgram(std::vector<std::string> command,
                               std::vector<std::string> environment)
    : process_(std::move(command), {.environment = std::move(environment)}) {
  EXPECT_TRUE(process_.wait_for_line("ready", Seconds(30))) << process_.err();
}

void WaitingProgram::await_end() {
  EXPECT_TRUE(process_.wait_for_line("done", Seconds(60))) << process_.err();
}

std::string WaitingProgram::said() {
  process_.signal(SIGTERM);
  const Outcome outcome = process_.wait(Seconds(30));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("ready", 0) != 0 && line.rfind("done", 0) != 0) kept += line + '\n';
  }
  return kept;
}

}  // namespace leaktrace::runtime
