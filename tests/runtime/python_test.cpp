// SPDX-License-Identifier: Apache-2.0
//
// Python scripts: which of their functions leaks is in the stack, and part of its identity. For
// every interpreter of a release that is supported: Debian's own, and others where they are found.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

constexpr int kTimes = 300;
constexpr int kSize = 100'000;
constexpr std::uint64_t kBlock = kSize + 1;  // a bytearray ends with a 0

bool is_supported(const std::string& python) {
  const auto outcome =
      run_command({python, "-c", "import sys; print((3, 11) <= sys.version_info < (3, 14))"}, {});
  return outcome.out == "True\n";
}

/// Debian's, what is on the PATH, and what pyenv has.
std::vector<std::string> interpreters() {
  std::vector<std::string> found;
  const auto add = [&](const std::filesystem::path& path) {
    std::error_code error;
    const std::string real = std::filesystem::canonical(path, error);
    if (!error && std::ranges::find(found, real) == found.end() && is_supported(real)) {
      found.push_back(real);
    }
  };
  add("/usr/bin/python3");
  for (const char* name : {"python3.11", "python3.12", "python3.13"}) {
    add(std::filesystem::path("/usr/bin") / name);
    add(std::filesystem::path("/usr/local/bin") / name);
  }
  const char* home = std::getenv("HOME");
  std::error_code error;
  const auto versions = std::filesystem::path(home ? home : "/root") / ".pyenv/versions";
  for (const auto& version : std::filesystem::directory_iterator(versions, error)) {
    add(version.path() / "bin/python3");
  }
  return found;
}

std::vector<std::string> interpreters_or_none() {
  auto found = interpreters();
  return found.empty() ? std::vector<std::string>{""} : found;
}

/// A script that says "ready", waits for SIGUSR1, works, says "done" and waits again. The work
/// begins at line 4.
std::string script_of(const std::string& work) {
  return fmt::format(
      "import functools, os, signal, threading; kept = []; go = {{signal.SIGUSR1}}\n"
      "signal.pthread_sigmask(signal.SIG_BLOCK, go)\n"
      "print('ready', os.getpid(), flush=True); signal.sigwait(go)\n"
      "{}\n"
      "print('done', len(kept), flush=True); signal.sigwait(go)\n"
      "os._exit(0)\n",
      work);
}

class PythonTest : public RuntimeTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (GetParam().empty()) GTEST_SKIP() << "needs CPython 3.11 to 3.13";
  }

  /// Attaches to the script, lets it work, and takes the report.
  Report trace(const std::string& work, std::vector<std::string> options = {}) {
    const std::string path = write_script(work);
    Process script({GetParam(), path});
    EXPECT_TRUE(script.wait_for_line("ready")) << script.err();
    // Without the list that keeps them.
    options.insert(options.end(), {"--min-size", "60000"});
    Attached leaktrace({script.pid()}, exactly(options));
    script.signal(SIGUSR1);
    EXPECT_TRUE(script.wait_for_line("done")) << script.err();
    Report report = leaktrace.stop();
    script.signal(SIGUSR1);
    EXPECT_EQ(script.wait(Seconds(20)).status, 0);
    return report;
  }

  std::string write_script(const std::string& work) {
    std::string path = dir_.file("script.py");
    std::ofstream(path) << script_of(work);
    return path;
  }
};

/// The Python frames of a stack: "function:line".
std::vector<std::string> python_frames(const nlohmann::json& site) {
  std::vector<std::string> frames;
  for (const auto& frame : site.at("stack")) {
    if (frame.at("module") != "[python]") continue;
    frames.push_back(
        fmt::format("{}:{}", frame.at("function").get<std::string>(), frame.at("line").get<int>()));
  }
  return frames;
}

const std::string kOneOfThree = fmt::format(
    "class Cache:\n"                                       // line 4
    "  def insert(self, n):\n"                             // 5
    "    kept.append(bytearray(n))\n"                      // 6
    "    kept.append(bytearray(n))\n"                      // 7
    "def frees(n): bytearray(n)\n"                         // 8
    "def replaces(n, last=[0]): last[0] = bytearray(n)\n"  // 9
    "def work():\n"                                        // 10
    "  cache = Cache()\n"                                  // 11
    "  for i in range({}):\n"                              // 12
    "    frees({})\n"                                      // 13
    "    replaces({})\n"                                   // 14
    "    cache.insert({})\n"                               // 15
    "work()",                                              // 16
    kTimes, kSize, kSize, kSize);

TEST_P(PythonTest, TheOneOfThreeFunctionsThatLeaksIsNamedWithItsLines) {
  const Report report = trace(kOneOfThree);
  EXPECT_EQ(report.outstanding("Cache.insert", "heap"), (Amount{2 * kTimes, 2 * kTimes * kBlock}));
  EXPECT_EQ(report.acquired("frees", "heap").count, 0U) << "nothing of it is outstanding";
  EXPECT_EQ(report.outstanding("replaces", "heap").count, 1U);

  std::vector<std::vector<std::string>> leaking;
  for (const auto& site : report.stacks_with("Cache.insert")) {
    if (site.at("outstanding").at("count") != kTimes) continue;
    leaking.push_back(python_frames(site));
    EXPECT_EQ(site.at("label"), "Cache.insert");
    EXPECT_TRUE(site.at("stack_complete"));
    EXPECT_EQ(site.at("outstanding").at("bytes"), kTimes * kBlock);
  }
  std::ranges::sort(leaking);
  EXPECT_THAT(leaking, ElementsAre(ElementsAre("Cache.insert:6", "work:15", "<module>:16"),
                                   ElementsAre("Cache.insert:7", "work:15", "<module>:16")));
  EXPECT_EQ(report.loss("read_fault"), 0U);
}

TEST_P(PythonTest, PythonAndNativeFramesAreInTheOrderOfTheirCalls) {
  const Report report = trace(
      "def key(x):\n"                                 // line 4
      "  kept.append(bytearray(200000)); return x\n"  // 5
      "def reduce_step(a, b):\n"                      // 6
      "  sorted([b], key=key); return a\n"            // 7
      "def outer():\n"                                // 8
      "  functools.reduce(reduce_step, range(51))\n"  // 9
      "outer()");                                     // 10
  const auto stacks = report.stacks_with("key");
  ASSERT_FALSE(stacks.empty());
  EXPECT_EQ(report.outstanding("key", "heap"), (Amount{50, 50 * 200'001ULL}));
  for (const auto& site : stacks) {
    if (site.at("outstanding").at("count") != 50) continue;
    EXPECT_THAT(python_frames(site),
                ElementsAre("key:5", "reduce_step:7", "outer:9", "<module>:10"));
    // key was called by sorted, which is native, which reduce_step called: between the two Python
    // frames there is the interpreter's evaluation of key.
    const auto functions = Report::functions(site);
    const auto at = [&](const std::string& name) {
      return std::ranges::find(functions, name) - functions.begin();
    };
    const auto evaluation =
        std::find(functions.begin() + at("key"), functions.end(), "_PyEval_EvalFrameDefault");
    EXPECT_LT(evaluation - functions.begin(), at("reduce_step"));
    const auto second = std::find(functions.begin() + at("reduce_step"), functions.end(),
                                  "_PyEval_EvalFrameDefault");
    EXPECT_LT(second - functions.begin(), at("outer"));
  }
}

TEST_P(PythonTest, EachThreadHasItsOwnFrames) {
  const Report report = trace(
      "def first():\n"
      "  for i in range(100): kept.append(bytearray(70000))\n"
      "def second():\n"
      "  for i in range(200): kept.append(bytearray(80000))\n"
      "threads = [threading.Thread(target=f) for f in (first, second, first)]\n"
      "for t in threads: t.start()\n"
      "for t in threads: t.join()");
  EXPECT_EQ(report.outstanding("first", "heap").count, 200U);
  EXPECT_EQ(report.outstanding("second", "heap").count, 200U);
  for (const auto& site : report.stacks_with("second")) {
    const auto frames = python_frames(site);
    EXPECT_EQ(std::ranges::find(frames, "first:5"), frames.end());
    EXPECT_THAT(Report::functions(site), IsSupersetOf({"second", "Thread.run"}));
  }
}

TEST_P(PythonTest, DeepRecursionKeepsTheInnermostFramesAndSaysSo) {
  const Report report = trace(
      "def deep(n):\n"
      "  if n: return deep(n - 1)\n"
      "  kept.append(bytearray(500000))\n"
      "for i in range(10): deep(200)");
  const auto stacks = report.stacks_with("deep");
  ASSERT_FALSE(stacks.empty());
  EXPECT_EQ(report.outstanding("deep", "heap").count, 10U);
  for (const auto& site : stacks) {
    if (site.at("outstanding").at("count") != 10) continue;
    const auto frames = python_frames(site);
    EXPECT_EQ(frames.size(), 64U);
    EXPECT_EQ(frames.front(), "deep:6");
    EXPECT_FALSE(site.at("stack_complete"));
  }
  EXPECT_GT(report.loss("stack_truncated"), 0U);
}

TEST_P(PythonTest, AStartedScriptAndItsRecordingSayTheSame) {
  const std::string script = dir_.file("script.py");
  std::ofstream(script) << "import os\nkept = []\n"
                           "def leaks():\n"
                           "  kept.append(bytearray(100000))\n"
                           "def main():\n"
                           "  for i in range(100): leaks()\n"
                           "main()\nos._exit(0)\n";
  const TracedRun run = run_traced({GetParam(), script}, {"--min-size", "60000"});
  EXPECT_EQ(run.outcome.status, 0);
  EXPECT_EQ(run.report().outstanding("leaks", "heap"), (Amount{100, 100 * 100'001ULL}));

  const std::string recording = dir_.file("trace.lt");
  const auto recorded =
      run_leaktrace({"record", "-o", recording, "--min-size", "60000", "--", GetParam(), script},
                    {}, Seconds(60));
  EXPECT_EQ(recorded.status, 0) << recorded.err;
  const auto replayed = run_leaktrace({"report", "--format", "json", recording});
  const Report report(replayed.out);
  EXPECT_EQ(report.outstanding("leaks", "heap"), (Amount{100, 100 * 100'001ULL}));
  const auto stacks = report.stacks_with("leaks");
  ASSERT_FALSE(stacks.empty());
  EXPECT_THAT(python_frames(stacks.front()), ElementsAre("leaks:4", "main:6", "<module>:7"));
}

TEST_P(PythonTest, AForkedChildHasPythonFramesOfItsOwn) {
  const Report report = trace(
      "def child_leaks():\n"
      "  for i in range(50): kept.append(bytearray(300000))\n"
      "pid = os.fork()\n"
      "if pid == 0:\n"
      "  child_leaks()\n"
      "  os._exit(0)\n"
      "os.waitpid(pid, 0)",
      {"--follow"});
  EXPECT_EQ(report.outstanding("child_leaks", "heap").count, 50U);
}

std::string name_of(const testing::TestParamInfo<std::string>& info) {
  if (info.param.empty()) return "none";
  std::string name = info.param;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Interpreters, PythonTest, testing::ValuesIn(interpreters_or_none()),
                         name_of);

}  // namespace
}  // namespace leaktrace::runtime
