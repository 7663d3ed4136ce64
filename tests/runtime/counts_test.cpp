// SPDX-License-Identifier: Apache-2.0
//
// Is what leaktrace counts the truth, to the byte? exact_mix knows its own.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;

/// Under tracing an operation costs some ten microseconds: two million where the count itself is
/// the subject, fewer where it is another way to take it.
constexpr const char* kOperations = "2000000";
constexpr const char* kFewerOperations = "400000";
constexpr Seconds kLimit{280};

void expect_truth(const Report& report, const std::string& truth_path) {
  const json truth = json::parse(read_whole(truth_path));
  ASSERT_EQ(truth.at("unexpected_failures"), 0);
  for (const json& site : truth.at("sites")) {
    const std::string function = site.at("function");
    const std::string kind = site.at("kind");
    const Amount outstanding = {site.at("outstanding").at("count"),
                                site.at("outstanding").at("bytes")};
    EXPECT_EQ(report.outstanding(function, kind), outstanding) << function;
    // A stack of the site that holds nothing any more is not in the report. And an munmap that
    // fails just while the counters are read counts as a release and an acquisition.
    const std::uint64_t acquired = site.at("acquired").at("count");
    EXPECT_LE(report.acquired(function, kind).count, acquired + (kind == "mmap" ? 20 : 0))
        << function;
    const std::string other = kind == "heap" ? "mmap" : "heap";
    EXPECT_EQ(report.outstanding(function, other), Amount{}) << function << " of kind " << other;
  }
}

class Counts : public RuntimeTest {
 protected:
  [[nodiscard]] std::string truth() const { return dir_.file("truth.json"); }

  std::vector<std::string> mix(const std::vector<std::string>& options = {}) {
    std::vector<std::string> command = {testprog("exact_mix"), "--operations", kOperations};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(truth());
    return command;
  }
};

TEST_F(Counts, RunFromTheFirstCallIsExact) {
  const TracedRun traced = run_traced(mix(), {}, kLimit);
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_truth(report, truth());
  EXPECT_THAT(report.losses(), testing::IsEmpty());
  EXPECT_EQ(report.json().at("final"), true);
  EXPECT_EQ(report.json().at("mode").at("sampling_bytes"), 0);
}

TEST_F(Counts, AnotherSeedAndOneThreadIsExact) {
  const TracedRun traced = run_traced(
      mix({"--operations", kFewerOperations, "--seed", "77", "--threads", "1"}), {}, kLimit);
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_truth(traced.report(), truth());
}

TEST_F(Counts, ManyMoreThreadsThanProcessorsIsExact) {
  const TracedRun traced = run_traced(
      mix({"--operations", kFewerOperations, "--seed", "5", "--threads", "48"}), {}, kLimit);
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_truth(traced.report(), truth());
}

/// Allocators whose functions are seen to return by their own return instructions. (jemalloc has no
/// pvalloc: a program that mixes it with glibc's crashes, traced or not.)
class CountsOfAllocators : public Counts, public testing::WithParamInterface<const char*> {};

TEST_P(CountsOfAllocators, AreExact) {
  std::vector<std::string> command = mix({"--operations", kFewerOperations});
  command.insert(command.begin(), {"/usr/bin/env", std::string("LD_PRELOAD=") + GetParam()});
  const TracedRun traced = run_traced(command, {}, kLimit);
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_truth(traced.report(), truth());
  EXPECT_THAT(harmful_losses(traced.report()), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Of, CountsOfAllocators, testing::Values("libtcmalloc_minimal.so.4"),
                         [](const auto& library) {
                           const std::string name = library.param;
                           return name.substr(0, name.find('.'));
                         });

TEST_F(Counts, AttachBeforeTheFirstCallIsExact) {
  Process target(mix({"--operations", kFewerOperations, "--wait", "--linger"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done", kLimit));
  const Report report = attached.stop();
  expect_truth(report, truth());
  EXPECT_THAT(report.losses(), testing::IsEmpty());
  target.signal(SIGTERM);
  EXPECT_EQ(target.wait().status, 0);
}

TEST_F(Counts, AttachUntilTheTargetEndsIsExact) {
  Process target(mix({"--operations", kFewerOperations, "--wait"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, exactly());
  target.signal(SIGUSR1);
  const Report report = attached.wait(kLimit);
  EXPECT_EQ(target.wait().status, 0);
  expect_truth(report, truth());
  ASSERT_EQ(report.json().at("target").size(), 1U);
  EXPECT_EQ(report.json().at("target").at(0).at("exited"), true);
}

/// What was taken before the trace is not known to it: it may report less than the truth, never
/// more.
TEST_F(Counts, AttachInTheMiddleNeverReportsMoreThanTheTruth) {
  Process target(mix({"--operations", "30000000", "--linger"}));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  {
    Attached attached({target.pid()}, exactly({"--duration", "3"}));
    attached.wait();
  }
  Attached attached({target.pid()}, exactly());
  ASSERT_TRUE(target.wait_for_line("done", kLimit));
  const Report report = attached.stop();
  const json truth_now = json::parse(read_whole(truth()));
  std::uint64_t seen = 0;
  for (const json& site : truth_now.at("sites")) {
    const Amount got = report.outstanding(site.at("function"), site.at("kind"));
    EXPECT_LE(got.count, site.at("outstanding").at("count").get<std::uint64_t>())
        << site.at("function");
    EXPECT_LE(got.bytes, site.at("outstanding").at("bytes").get<std::uint64_t>())
        << site.at("function");
    seen += got.count;
  }
  EXPECT_GT(seen, 0U);
  EXPECT_THAT(harmful_losses(report), testing::IsEmpty());
}

/// All the probes of one libc by one link, entry and return in one or apart, or each by its own:
/// the same numbers.
class ProbeModes : public Counts, public testing::WithParamInterface<const char*> {};

TEST_P(ProbeModes, AreExact) {
  const std::vector<std::string> command = {testprog("exact_mix"), "--operations", "300000",
                                            truth()};
  const TracedRun traced = run_traced(command, {"--probe-mode", GetParam()}, kLimit);
  if (traced.outcome.err.find("kernel") != std::string::npos && traced.outcome.status == 1) {
    GTEST_SKIP() << "this kernel cannot: " << traced.outcome.err;
  }
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_truth(traced.report(), truth());
}

INSTANTIATE_TEST_SUITE_P(Each, ProbeModes, testing::Values("session", "multi", "single"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace leaktrace::runtime
