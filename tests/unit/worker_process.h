// SPDX-License-Identifier: Apache-2.0
// The processes of a Sandbox, found from outside.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace leaktrace::test {

inline std::vector<pid_t> children_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  return {std::istream_iterator<pid_t>(file), {}};
}

/// The only worker: the child of the keeper that this process has forked last. -1: there is none.
inline pid_t worker() {
  const auto keepers = children_of(::getpid());
  const auto workers = keepers.empty() ? keepers : children_of(keepers.back());
  EXPECT_EQ(workers.size(), 1U);
  return workers.empty() ? -1 : workers.front();
}

}  // namespace leaktrace::test
