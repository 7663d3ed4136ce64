// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace says of programs whose growth is known, as they run.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Longer than the least time that a rise must have been watched.
constexpr const char* kTracedFor = "32";

std::vector<json> growing(const Report& report) {
  std::vector<json> found;
  for (const json& site : report.json().at("sites")) {
    if (site.at("verdict") == "growing") found.push_back(site);
  }
  return found;
}

class Verdict : public RuntimeTest {};

/// Of two processes, one leaks 1 KiB each 5 ms, beside as much that it gives back, and the other
/// allocates as fast as it can and keeps nothing.
TEST_F(Verdict, OfALeakIsGrowingAndOfChurnIsNot) {
  Process leaker({testprog("steady_leak")});
  Process storm({testprog("malloc_storm"), "2"});
  ASSERT_TRUE(leaker.wait_for_line("running"));
  ASSERT_TRUE(storm.wait_for_line("ready"));
  Attached attached({leaker.pid(), storm.pid()}, exactly({"--duration", kTracedFor, "--fail-on", "growing:1K/s"}));
  const Report report = attached.wait();
  EXPECT_EQ(attached.outcome().status, 3) << attached.outcome().err;
  EXPECT_THAT(attached.outcome().err, HasSubstr("leak_tick"));
  const std::vector<json> found = growing(report);
  ASSERT_EQ(found.size(), 1U) << report.json().at("sites").dump(1);
  const json& leak = found.front();
  EXPECT_EQ(leak, report.json().at("sites").at(0)) << "it is named first";
  EXPECT_EQ(leak.at("label"), "leak_tick");
  EXPECT_EQ(leak.at("pid"), leaker.pid());
  EXPECT_GE(leak.at("confidence"), 0.99);
  EXPECT_THAT(leak.at("evidence").get<std::string>(), HasSubstr("floor rose"));
  const json& growth = leak.at("growth");
  EXPECT_LE(growth.at("low"), growth.at("bytes_per_second"));
  EXPECT_GE(growth.at("high"), growth.at("bytes_per_second"));
  EXPECT_GT(growth.at("low"), 0);
  EXPECT_EQ(report.json().at("growing").at("sites"), 1);
}

}  // namespace
}  // namespace leaktrace::runtime
