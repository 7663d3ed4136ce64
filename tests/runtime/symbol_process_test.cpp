// SPDX-License-Identifier: Apache-2.0
//
// The process that reads debug information for leaktrace: whatever becomes of it, the trace goes
// on, and the report says what it lacks.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

std::vector<pid_t> children_of(pid_t pid) {
  std::istringstream ids(read_whole(fmt::format("/proc/{0}/task/{0}/children", pid)));
  return {std::istream_iterator<pid_t>(ids), {}};
}

/// The processes that read symbols for it: they run its program, and were made by one that does.
std::vector<pid_t> readers_of(pid_t leaktrace) {
  std::vector<pid_t> readers;
  for (const pid_t keeper : children_of(leaktrace)) {
    for (const pid_t child : children_of(keeper)) {
      std::error_code error;
      const auto exe = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", child), error);
      if (exe.filename() == "leaktrace") readers.push_back(child);
    }
  }
  return readers;
}

class SymbolProcess : public RuntimeTest {};

TEST_F(SymbolProcess, KilledInTheMiddleOfATraceIsALossAndTheReportIsComplete) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--each-interval", "--interval", "0.2"}));
  std::vector<pid_t> readers;
  ASSERT_TRUE(wait_until([&] { return !(readers = readers_of(attached.process().pid())).empty(); },
                         Seconds(30)));
  ASSERT_THAT(readers, SizeIs(1));
  ASSERT_EQ(kill(readers.front(), SIGKILL), 0);
  ASSERT_TRUE(wait_until(
      [&] {
        const auto now = readers_of(attached.process().pid());
        return !now.empty() && now != readers;
      },
      Seconds(30)))
      << "another one is started";
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_GT(report.outstanding("leak_tick").count, 0U);
  EXPECT_THAT(report.json().at("file_losses").dump(), HasSubstr("was killed (SIGKILL)"));
}

TEST_F(SymbolProcess, EndsWithLeaktraceHoweverThatEnds) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  std::vector<pid_t> readers;
  {
    Attached attached({target.pid()}, exactly({"--each-interval", "--interval", "0.2"}));
    ASSERT_TRUE(wait_until(
        [&] { return !(readers = readers_of(attached.process().pid())).empty(); }, Seconds(30)));
    attached.process().signal(SIGKILL);
    attached.process().wait();
  }
  EXPECT_TRUE(wait_until([&] { return kill(readers.front(), 0) != 0; }, Seconds(10)));
}

// The program runs as it did: sections of debug information are not loaded.
TEST_F(SymbolProcess, DamagedDebugInformationCostsNamesAndNothingElse) {
  const std::string program = read_whole(testprog("cat_and_leak"));
  const Outcome sections = run_command({"readelf", "-SW", testprog("cat_and_leak")});
  std::vector<std::pair<std::size_t, std::size_t>> places;
  std::istringstream lines(sections.out);
  for (std::string line; std::getline(lines, line);) {
    const auto name = line.find(".debug_");
    if (name == std::string::npos) continue;
    std::istringstream words(line.substr(name));
    std::string text;
    std::size_t address = 0;
    std::size_t offset = 0;
    std::size_t size = 0;
    words >> text >> text >> std::hex >> address >> offset >> size;
    if (size > 0) places.emplace_back(offset, size);
  }
  ASSERT_FALSE(places.empty());
  std::mt19937 random(29);
  for (int round = 0; round < 6; ++round) {
    std::string damaged = program;
    for (const auto& [offset, size] : places) {
      for (std::size_t i = 0; i < 1 + size / 50; ++i) {
        damaged.at(offset + random() % size) = static_cast<char>(random());
      }
    }
    const std::string path = dir_.file(fmt::format("damaged{}", round));
    write_whole(path, damaged);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    const Outcome outcome =
        run_leaktrace({"run", "--format", "json", "-o", dir_.file("report"), "--", path, "0"},
                      {.input = "text\n"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    const Report report(read_whole(dir_.file("report")));
    ASSERT_THAT(report.json().at("sites"), SizeIs(1)) << "round " << round;
    EXPECT_EQ(report.json().at("sites").at(0).at("outstanding").at("bytes"), 64) << path;
  }
}

}  // namespace
}  // namespace leaktrace::runtime
