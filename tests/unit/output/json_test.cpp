// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/output/sample_report.h"
#include "user/base/printable.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using nlohmann::json;

json parsed(const analyze::Report& report) {
  return json::parse(write_json(report));
}

TEST(Json, HasTheFieldsOfTheContract) {
  const json report = parsed(plain_report());
  EXPECT_EQ(report["version"], 1);
  EXPECT_EQ(report["tool"]["name"], "leaktrace");
  EXPECT_EQ(report["target"][0]["pid"], 1234);
  EXPECT_EQ(report["period"]["start"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(report["period"]["intervals"], 60);
  EXPECT_TRUE(report["mode"]["budget_percent"].is_null());
  EXPECT_EQ(report["all"]["outstanding"]["bytes"], 61440);
  const json& site = report["sites"][0];
  EXPECT_EQ(site["kind"], "heap");
  EXPECT_EQ(site["verdict"], "undecided");
  EXPECT_EQ(site["outstanding"]["count"], 60);
  EXPECT_EQ(site["total"]["released_bytes"], 1024);
  EXPECT_EQ(site["growth"]["bytes_per_second"], 1024.0);
  EXPECT_EQ(site["stack"][0]["function"], "leaky_handler");
  EXPECT_EQ(site["stack"][0]["line"], 14);
  EXPECT_EQ(site["stack"][0]["offset"], 0x100);
  EXPECT_FALSE(site.contains("blocks"));
}

TEST(Json, EveryCauseOfLossIsThere) {
  const json report = parsed(awkward_report());
  ASSERT_EQ(report["losses"].size(), model::kLossNames.size());
  for (std::size_t i = 0; i < model::kLossNames.size(); ++i) {
    EXPECT_EQ(report["losses"][std::string(model::kLossNames[i])], i * i * i + 1);
  }
}

TEST(Json, EstimatesHaveLimitsAndExactNumbersNone) {
  const json report = parsed(paused_report());
  EXPECT_EQ(report["mode"]["sampling_bytes"], 524288);
  EXPECT_EQ(report["mode"]["sampling_bytes_now"], 8 << 20);
  EXPECT_EQ(report["mode"]["duty_percent"], 37.4);
  const json& estimate = report["sites"][0]["estimate"];
  EXPECT_EQ(estimate["samples"], 6);
  EXPECT_EQ(estimate["confidence"], 0.95);
  EXPECT_EQ(estimate["count_low"], 6700);
  EXPECT_EQ(estimate["bytes_high"], 57 * 1024 * 1024 / 10);
  EXPECT_EQ(estimate["unseen_count"], 1300);
  EXPECT_EQ(report["all"]["estimate"]["samples"], 7);
  EXPECT_TRUE(report["sites"][2]["estimate"].is_null());
  EXPECT_TRUE(parsed(plain_report())["all"]["estimate"].is_null());
  EXPECT_EQ(report["sites"][0]["blocks"][0]["stands_for"], 2621.94);
}

TEST(Json, BytesThatAreNoTextAreReplaced) {
  const std::string text = write_json(awkward_report());
  EXPECT_TRUE(json::accept(text));
  EXPECT_EQ(text.find('\xff'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Json, NamesAreWhole) {
  const json report = parsed(awkward_report());
  const std::string function = report["sites"][0]["stack"][3]["function"];
  EXPECT_NE(function.find("std::less<void>, std::allocator<int> >"), std::string::npos);
  EXPECT_EQ(report["sites"][1]["stack"].size(), 127U);
  EXPECT_EQ(report["sites"][1]["blocks"].size(), 25U);
  EXPECT_EQ(report["sites"][1]["blocks"][0]["handle"], "0x7f0000000000");
}

TEST(Json, StackEndsHaveNames) {
  const json report = parsed(awkward_report());
  EXPECT_EQ(report["sites"][0]["stack_end"], "complete");
  EXPECT_EQ(report["sites"][1]["stack_end"], "depth");
  EXPECT_EQ(report["sites"][2]["stack_end"], "no_row");
  EXPECT_EQ(report["sites"][3]["stack_end"], "missing");
}

TEST(Json, TimesBefore1970AreFloored) {
  analyze::Report report = plain_report();
  report.start_unix_ns = -1;
  EXPECT_EQ(parsed(report)["period"]["start"], "1969-12-31T23:59:59Z");
}

}  // namespace
}  // namespace leaktrace::output
