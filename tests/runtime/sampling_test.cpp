// SPDX-License-Identifier: Apache-2.0
//
// Sampled traces: estimates that hold the truth, said to be estimates; and what is counted exactly
// all the same. The limits of 95 % are taken apart to six standard deviations, so that chance alone
// fails a test in less than one of ten million runs.
#include <gmock/gmock.h>
#include <signal.h>

#include <cmath>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Sampling : public RuntimeTest {};

/// Of sites that were all sampled: how sure they are together.
struct Estimated {
  double count = 0;
  double bytes = 0;
  double count_variance = 0;
  double bytes_variance = 0;
  std::uint64_t samples = 0;
};

double variance_of(const json& estimate, const std::string& what) {
  const double width =
      estimate.at(what + "_high").get<double>() - estimate.at(what + "_low").get<double>();
  return std::pow(width / (2 * 1.96), 2);
}

Estimated estimated(const Report& report, const std::string& function) {
  Estimated sum;
  for (const json& site : report.stacks_with(function)) {
    const json& estimate = site.at("estimate");
    if (estimate.is_null()) {
      ADD_FAILURE() << "a sampled site without limits";
      continue;
    }
    const double count = site.at("outstanding").at("count");
    const double bytes = site.at("outstanding").at("bytes");
    EXPECT_LE(estimate.at("count_low"), count);
    EXPECT_GE(estimate.at("count_high"), count);
    EXPECT_LE(estimate.at("bytes_low"), bytes);
    EXPECT_GE(estimate.at("bytes_high"), bytes);
    sum.count += count;
    sum.bytes += bytes;
    sum.count_variance += variance_of(estimate, "count");
    sum.bytes_variance += variance_of(estimate, "bytes");
    sum.samples += estimate.at("samples").get<std::uint64_t>();
  }
  return sum;
}

void expect_covers(const Estimated& estimated, const Amount& truth) {
  constexpr double kSigmas = 6;
  EXPECT_NEAR(estimated.count, static_cast<double>(truth.count),
              kSigmas * std::sqrt(estimated.count_variance));
  EXPECT_NEAR(estimated.bytes, static_cast<double>(truth.bytes),
              kSigmas * std::sqrt(estimated.bytes_variance));
}

TEST_F(Sampling, AttachEstimatesWhatIsOutstanding) {
  Process target({testprog("many_blocks"), "--wait", "--linger", "2000000"});
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, {"--budget", "off"});
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done", Seconds(60)));
  const Report report = attached.stop();
  EXPECT_EQ(report.json().at("mode").at("sampling_bytes"), 512 * 1024);
  EXPECT_TRUE(report.json().at("mode").at("budget_percent").is_null());
  EXPECT_EQ(report.json().at("mode").at("duty_percent"), 100);
  const Estimated blocks = estimated(report, "hold_block");
  expect_covers(blocks, leaks_said(target.out()).at("hold_block"));
  EXPECT_GT(blocks.samples, 10U) << "61 on average";
  EXPECT_LT(blocks.samples, 150U);
  EXPECT_THAT(harmful_losses(report), testing::IsEmpty());
  EXPECT_EQ(report.loss("unmatched_release"), 0U) << "of what was not sampled nothing is known";
}

TEST_F(Sampling, ASmallerIntervalIsSurer) {
  const TracedRun traced =
      run_traced({testprog("many_blocks"), "400000"}, {"--sample-bytes", "4K"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.json().at("mode").at("sampling_bytes"), 4096);
  const Estimated blocks = estimated(report, "hold_block");
  expect_covers(blocks, {200'000, 200'000 * 32});
  EXPECT_LT(std::sqrt(blocks.bytes_variance), 0.05 * blocks.bytes) << "1,560 samples on average";
  const json& all = report.json().at("all");
  EXPECT_LE(all.at("estimate").at("bytes_low"), all.at("outstanding").at("bytes"));
  EXPECT_GE(all.at("estimate").at("bytes_high"), all.at("outstanding").at("bytes"));
}

TEST_F(Sampling, MappingsAreCountedExactlyAllTheSame) {
  const TracedRun traced = run_traced({testprog("leak_mmap"), "37"}, {"--sample-bytes", "1G"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.outstanding("leak_mapping", "mmap"), (Amount{37, 37UL * 64 * 1024}));
  for (const json& site : report.stacks_with("leak_mapping")) {
    EXPECT_TRUE(site.at("estimate").is_null()) << site.at("estimate");
  }
}

TEST_F(Sampling, EveryBlockIsTakenWhereTheIntervalIsAByte) {
  const TracedRun traced = run_traced({testprog("many_blocks"), "2000"}, {"--sample-bytes", "1"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_EQ(traced.report().outstanding("hold_block"), (Amount{1000, 32'000}));
  EXPECT_TRUE(traced.report().stacks_with("hold_block").at(0).at("estimate").is_null());
}

TEST_F(Sampling, AttachSaysWhatItDoesByDefault) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  const Outcome outcome = run_leaktrace(
      {"-p", std::to_string(target.pid()), "--duration", "2", "--quiet"}, {}, Seconds(60));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("mode    sampled, one in 512 KiB on average"));
  EXPECT_THAT(outcome.out, HasSubstr("counts and bytes are estimates (95 %"));
  EXPECT_THAT(outcome.out, testing::ContainsRegex("5 % slower|a budget of 5 %"));
}

TEST_F(Sampling, SingleBlocksAreSaidToBeSamples) {
  const std::string recording = dir_.file("sampled");
  const Outcome recorded = run_leaktrace({"record", "--sample-bytes", "64K", "-o", recording, "--",
                                          testprog("many_blocks"), "400000"});
  ASSERT_EQ(recorded.status, 0) << recorded.err;
  const Outcome all = run_leaktrace({"report", recording, "--format", "json"});
  const Outcome walked = run_leaktrace({"report", recording, "--format", "json", "--show-blocks"});
  ASSERT_EQ(walked.status, 0) << walked.err;
  const Report counted(all.out);
  const Report blocks(walked.out);
  EXPECT_THAT(blocks.json().at("filters").get<std::string>(),
              HasSubstr("single blocks are samples"));
  const json site = blocks.stacks_with("hold_block").at(0);
  EXPECT_EQ(site.at("blocks").size(), site.at("estimate").at("samples"));
  EXPECT_GT(site.at("blocks").at(0).at("stands_for"), 1000);
  // What the walk finds and what was counted is the same, up to rounding.
  const double found = site.at("outstanding").at("bytes");
  EXPECT_NEAR(found, static_cast<double>(counted.outstanding("hold_block").bytes), 1e-4 * found);
  expect_covers(estimated(blocks, "hold_block"), {200'000, 200'000 * 32});
}

TEST_F(Sampling, WithoutStacksThereIsOneSiteOfAKind) {
  const TracedRun traced = run_traced({testprog("many_blocks"), "1000"}, {"--stack-depth", "0"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  std::size_t heap_sites = 0;
  for (const json& site : report.json().at("sites")) {
    EXPECT_TRUE(site.at("stack").empty());
    if (site.at("kind") == "heap") ++heap_sites;
  }
  EXPECT_EQ(heap_sites, 1U);
  EXPECT_GE(report.outstanding_at_all().count, 500U);
}

TEST_F(Sampling, AShallowStackSaysThatItIsCut) {
  const TracedRun traced = run_traced({testprog("many_blocks"), "1000"}, {"--stack-depth", "1"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  ASSERT_EQ(report.stacks_with("hold_block").size(), 1U);
  const json site = report.stacks_with("hold_block").at(0);
  EXPECT_EQ(site.at("stack_end"), "depth");
  EXPECT_EQ(site.at("stack").size(), 1U);
  EXPECT_EQ(report.outstanding("hold_block"), (Amount{500, 16'000}));
}

}  // namespace
}  // namespace leaktrace::runtime
