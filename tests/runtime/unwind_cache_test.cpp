// SPDX-License-Identifier: Apache-2.0
//
// Unwind tables from trace to trace, as a user meets them: a second trace reads what the first one
// compiled, a damaged cache is never believed, and what finds no room is named.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

class UnwindCache : public RuntimeTest {
 protected:
  /// A trace of a C++ program through libstdc++, which has no frame pointers.
  TracedRun trace(const std::vector<std::string>& options) {
    std::vector<std::string> all = {"--verbose"};
    all.insert(all.end(), options.begin(), options.end());
    TracedRun run = run_traced({testprog("leak_longjmp"), "5"}, all);
    EXPECT_EQ(run.outcome.status, 0) << run.outcome.err;
    return run;
  }
  [[nodiscard]] std::string folder() const { return dir_.file("cache"); }
  [[nodiscard]] std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder())) {
      found.push_back(entry.path());
    }
    return found;
  }
  /// Sites as they are told, without what differs from run to run.
  static std::vector<std::vector<std::string>> stacks(const Report& report) {
    std::vector<std::vector<std::string>> all;
    for (const auto& site : report.json().at("sites")) {
      EXPECT_TRUE(site.at("stack_complete"));
      all.push_back(Report::functions(site));
    }
    std::ranges::sort(all);
    return all;
  }
};

TEST_F(UnwindCache, IsFilledByOneTraceAndReadByTheNext) {
  const TracedRun first = trace({"--unwind-cache", folder()});
  EXPECT_THAT(first.outcome.err, HasSubstr("unwind rows compiled"));
  EXPECT_THAT(first.outcome.err, Not(HasSubstr("read from the cache")));
  EXPECT_GE(files().size(), 3U) << "the program, libc, the loader";
  const TracedRun second = trace({"--unwind-cache", folder()});
  EXPECT_THAT(second.outcome.err, HasSubstr("read from the cache"));
  EXPECT_THAT(second.outcome.err, Not(HasSubstr("unwind rows compiled")));
  EXPECT_EQ(stacks(second.report()), stacks(first.report()));
  EXPECT_EQ(second.report().json().at("file_losses").size(), 0U);
}

TEST_F(UnwindCache, IsNotBelievedWhenItIsDamaged) {
  const TracedRun first = trace({"--unwind-cache", folder()});
  for (const auto& path : files()) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path) * 3 / 4));
    file.write("\x11\x22\x33\x44\x55\x66\x77\x21", 8);
  }
  const TracedRun second = trace({"--unwind-cache", folder()});
  EXPECT_THAT(second.outcome.err, Not(HasSubstr("read from the cache")));
  EXPECT_EQ(stacks(second.report()), stacks(first.report()));
  const TracedRun third = trace({"--unwind-cache", folder()});
  EXPECT_THAT(third.outcome.err, HasSubstr("read from the cache")) << "it was written anew";
}

TEST_F(UnwindCache, IsNotUsedWhereOthersMayWrite) {
  std::filesystem::create_directory(folder());
  ASSERT_EQ(::chmod(folder().c_str(), 0777), 0);
  const TracedRun run = trace({"--unwind-cache", folder()});
  EXPECT_THAT(run.outcome.err, HasSubstr("another user may write to it"));
  EXPECT_EQ(files().size(), 0U);
  (void)stacks(run.report());
}

TEST_F(UnwindCache, CanBeDoneWithout) {
  const TracedRun run = trace({"--unwind-cache", "none"});
  EXPECT_THAT(run.outcome.err, Not(HasSubstr("read from the cache")));
  (void)stacks(run.report());
}

TEST_F(UnwindCache, WhatFindsNoRoomIsNamed) {
  const TracedRun run = trace({"--unwind-cache", "none", "--max-unwind-memory", "0"});
  const auto losses = run.report().json().at("file_losses");
  const bool has_libc = std::ranges::any_of(losses, [](const auto& loss) {
    return loss.at("file").template get<std::string>().find("/libc.so") != std::string::npos &&
           loss.at("subject") == "unwind" &&
           loss.at("why").template get<std::string>().find("no room") != std::string::npos;
  });
  EXPECT_TRUE(has_libc) << losses;
}

}  // namespace
}  // namespace leaktrace::runtime
