// SPDX-License-Identifier: Apache-2.0
//
// The processes that read for leaktrace what a program controls: debug information, SQL, the maps
// of just-in-time compilers, ELF files and their unwind information. They have no privilege;
// whatever becomes of one, the trace goes on, and the report says what it lacks.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/postgres_truth.h"
#include "tests/unit/tracer/huge_symbols.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

std::vector<pid_t> children_of(pid_t pid) {
  std::istringstream ids(read_whole(fmt::format("/proc/{0}/task/{0}/children", pid)));
  return {std::istream_iterator<pid_t>(ids), {}};
}

/// The processes that read for it what a program controls, by their name: children of a child.
std::vector<pid_t> workers_of(pid_t leaktrace, const std::string& name) {
  std::vector<pid_t> workers;
  for (const pid_t keeper : children_of(leaktrace)) {
    for (const pid_t child : children_of(keeper)) {
      if (read_whole(fmt::format("/proc/{}/comm", child)) == name + "\n") workers.push_back(child);
    }
  }
  return workers;
}

/// It is confined, and waits for a question.
bool is_idle(pid_t pid) {
  const std::string status = read_whole(fmt::format("/proc/{}/status", pid));
  return status.find("State:\tS") != std::string::npos &&
         status.find("Seccomp_filters:\t2") != std::string::npos;
}

/// The one of this name, once it has answered; -1 when it never comes.
pid_t wait_for_worker(pid_t leaktrace, const std::string& name, pid_t but = 0) {
  std::vector<pid_t> workers;
  const bool came = wait_until(
      [&] {
        workers = workers_of(leaktrace, name);
        return workers.size() == 1 && workers.front() != but && is_idle(workers.front());
      },
      Seconds(30));
  return came ? workers.front() : -1;
}

void expect_no_privilege(pid_t pid) {
  const std::string status = read_whole(fmt::format("/proc/{}/status", pid));
  for (const char* line : {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                           "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
                           "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}) {
    EXPECT_THAT(status, HasSubstr(line));
  }
}

class SymbolProcess : public RuntimeTest {};
constexpr const char* kSymbols = "lt-symbols";

TEST_F(SymbolProcess, KilledInTheMiddleOfATraceIsALossAndTheReportIsComplete) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--each-interval", "--interval", "0.2"}));
  const pid_t leaktrace = attached.process().pid();
  const pid_t reader = wait_for_worker(leaktrace, kSymbols);
  ASSERT_GT(reader, 0);
  expect_no_privilege(reader);
  ASSERT_EQ(kill(reader, SIGKILL), 0);
  ASSERT_GT(wait_for_worker(leaktrace, kSymbols, reader), 0) << "another one is started";
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_GT(report.outstanding("leak_tick").count, 0U);
  EXPECT_THAT(report.json().at("file_losses").dump(), HasSubstr("was killed (SIGKILL)"));
}

TEST_F(SymbolProcess, EndsWithLeaktraceHoweverThatEnds) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  pid_t reader = -1;
  {
    Attached attached({target.pid()}, exactly({"--each-interval", "--interval", "0.2"}));
    reader = wait_for_worker(attached.process().pid(), kSymbols);
    ASSERT_GT(reader, 0);
    attached.process().signal(SIGKILL);
    attached.process().wait();
  }
  EXPECT_TRUE(wait_until([&] { return kill(reader, 0) != 0; }, Seconds(10)));
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

// ---- SQL
// ------------------------------------------------------------------------------------------

class SqlProcess : public PostgresTest {
 protected:
  /// A line of psql's script that waits for a file.
  std::string await(const std::string& file) {
    return "\\! while [ ! -e " + dir_.file(file) + " ]; do sleep 0.05; done\n";
  }
  void allow(const std::string& file) { write_whole(dir_.file(file), ""); }
};

TEST_F(SqlProcess, KilledInTheMiddleOfATraceCostsOneTextAndSaysSo) {
  write_whole(dir_.file("script"),
              "\\! echo ready 1\n" + await("first") + "BEGIN;\n" + await("second") +
                  "PREPARE second AS SELECT 1;\n\\! echo asked 1\n" + await("third") +
                  "PREPARE third AS SELECT 1;\n\\! echo done 1\n" + await("end"));
  Process psql(server().client("psql", {"-X", "-q", "-A", "-t", "-f", dir_.file("script")}));
  ASSERT_TRUE(psql.wait_for_line("ready")) << psql.err();
  // Raw: nothing but parsing is asked for.
  Attached attached({psql.pid()},
                    {"--kinds", "pg.statement", "--show-sql", "raw", "--budget", "off"});
  const pid_t leaktrace = attached.process().pid();
  allow("first");
  const pid_t reader = wait_for_worker(leaktrace, "lt-sql");
  ASSERT_GT(reader, 0);
  expect_no_privilege(reader);
  ASSERT_EQ(kill(reader, SIGKILL), 0);
  allow("second");
  ASSERT_TRUE(psql.wait_for_line("asked")) << psql.err();
  ASSERT_TRUE(wait_until(
      [&] {
        return attached.process().err().find("the process that reads SQL was killed (SIGKILL)") !=
               std::string::npos;
      },
      Seconds(30)));
  allow("third");
  ASSERT_TRUE(psql.wait_for_line("done")) << psql.err();
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(harmful_losses(report)["pg_unparsed"], 1U);
  const std::string connections = report.json().at("postgres").at("connections").dump();
  EXPECT_THAT(connections, HasSubstr("\"third\""));
  allow("end");
}

// ---- Perf maps
// ------------------------------------------------------------------------------------

class PerfMapProcess : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (!std::filesystem::exists("/usr/bin/node")) GTEST_SKIP() << "nodejs is not installed";
  }
};

TEST_F(PerfMapProcess, KilledInTheMiddleOfATraceReadsTheMapAgainAndSaysSo) {
  const std::string script = dir_.file("server.js");
  write_whole(script,
              "const kept = [];\n"
              "function leaky(n) { kept.push(Buffer.alloc(n)); }\n"
              "function other(n) { kept.push(Buffer.alloc(n)); }\n"
              "process.on('SIGUSR2', () => { leaky(200000); console.log('first 1'); });\n"
              "process.on('SIGHUP', () => { other(200000); console.log('second 1'); });\n"
              "setInterval(() => {}, 1000);\n"
              "console.log('ready ' + process.pid);\n");
  Process node({"/usr/bin/node", "--perf-basic-prof", "--interpreted-frames-native-stack",
                "--logfile=/dev/null", "--no-logfile-per-isolate", script});
  ASSERT_TRUE(node.wait_for_line("ready")) << node.err();
  const std::string map = fmt::format("/tmp/perf-{}.map", node.pid());
  Attached attached({node.pid()}, exactly({"--kinds", "heap", "--min-size", "200000"}));
  node.signal(SIGUSR2);
  ASSERT_TRUE(node.wait_for_line("first")) << node.err();
  const pid_t reader = wait_for_worker(attached.process().pid(), "lt-perf-maps");
  EXPECT_GT(reader, 0);
  expect_no_privilege(reader);
  EXPECT_EQ(kill(reader, SIGKILL), 0);
  node.signal(SIGHUP);
  EXPECT_TRUE(node.wait_for_line("second")) << node.err();
  const Report report = attached.stop();
  node.signal(SIGKILL);
  node.wait();
  std::filesystem::remove(map);
  EXPECT_EQ(report.outstanding("leaky", "heap"), (Amount{1, 200'000}));
  EXPECT_EQ(report.outstanding("other", "heap"), (Amount{1, 200'000}));
  EXPECT_THAT(report.json().at("file_losses").dump(),
              HasSubstr("the process that reads it was killed (SIGKILL)"));
}

// ---- ELF files
// ------------------------------------------------------------------------------------

class ElfProcess : public RuntimeTest {};

// Some billion symbols in a file that takes no room on disk.
TEST_F(ElfProcess, AFileThatTakesTooMuchIsALossAndTheTraceGoesOn) {
  const std::string hostile = dir_.file("hostile.so");
  tracer::test::write_huge_symbols(hostile, 20, std::uint64_t{1} << 30);
  Process target({testprog("map_code"), hostile});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--unwind-cache", dir_.file("cache")}));
  const pid_t leaktrace = attached.process().pid();
  expect_no_privilege(wait_for_worker(leaktrace, "lt-elf"));
  const auto unwinders = workers_of(leaktrace, "lt-unwind");
  EXPECT_THAT(unwinders, testing::Not(testing::IsEmpty()));
  for (const pid_t unwinder : unwinders) expect_no_privilege(unwinder);
  target.signal(SIGUSR2);
  ASSERT_TRUE(target.wait_for_line("leaked"));
  const Report report = attached.stop();
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.outstanding("leak_block"), (Amount{100, 6400}));
  const std::string losses = report.json().at("file_losses").dump();
  EXPECT_THAT(losses, HasSubstr("hostile.so"));
  EXPECT_THAT(losses, HasSubstr("its functions are not hooked: the process that reads it took "));
}

}  // namespace
}  // namespace leaktrace::runtime
