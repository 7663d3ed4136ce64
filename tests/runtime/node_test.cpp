// SPDX-License-Identifier: Apache-2.0
//
// Code that a just-in-time compiler makes, by the names in its perf map: Node.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using ::testing::Contains;

constexpr const char* kNode = "/usr/bin/node";

class NodeTest : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (!std::filesystem::exists(kNode)) GTEST_SKIP() << "nodejs is not installed";
  }
};

/// The frame of a stack that has this function, or null.
nlohmann::json frame_of(const nlohmann::json& site, const std::string& function) {
  for (const auto& frame : site.at("stack")) {
    if (frame.at("function") == function) return frame;
  }
  return nullptr;
}

TEST_F(NodeTest, FunctionsOfAScriptAreNamedWithTheirFiles) {
  const std::string path = dir_.file("server.js");
  std::ofstream(path) << "const kept = [];\n"
                         "function leakyHandler(n) { kept.push(Buffer.alloc(n)); }\n"
                         "function serve() { leakyHandler(200000); }\n"
                         "process.on('SIGUSR2', () => {\n"
                         "  for (let i = 0; i < 100; i++) serve();\n"
                         "  console.log('done ' + kept.length);\n"
                         "});\n"
                         "setInterval(() => {}, 1000);\n"
                         "console.log('ready ' + process.pid);\n";
  Process node({kNode, "--perf-basic-prof", "--interpreted-frames-native-stack",
                "--logfile=/dev/null", "--no-logfile-per-isolate", path});
  ASSERT_TRUE(node.wait_for_line("ready")) << node.err();
  const std::string map = "/tmp/perf-" + std::to_string(node.pid()) + ".map";
  Attached leaktrace({node.pid()}, exactly({"--kinds", "heap", "--min-size", "200000"}));
  node.signal(SIGUSR2);
  EXPECT_TRUE(node.wait_for_line("done")) << node.err();
  const Report report = leaktrace.stop();
  node.signal(SIGKILL);
  node.wait();
  std::filesystem::remove(map);

  // The compiler may replace a function's code while it runs: one call site a version of it.
  EXPECT_EQ(report.outstanding("leakyHandler", "heap"), (Amount{100, 100 * 200'000}));
  for (const auto& site : report.stacks_with("leakyHandler")) {
    EXPECT_TRUE(site.at("stack_complete"));
    const auto handler = frame_of(site, "leakyHandler");
    EXPECT_EQ(handler.at("file"), path);
    EXPECT_EQ(handler.at("line"), 2);
    EXPECT_EQ(handler.at("module"), map);
    EXPECT_EQ(frame_of(site, "serve").at("line"), 3);
    EXPECT_THAT(Report::functions(site), Contains("_start"));
  }
}

}  // namespace
}  // namespace leaktrace::runtime
