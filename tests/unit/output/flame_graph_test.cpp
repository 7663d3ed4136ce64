// SPDX-License-Identifier: Apache-2.0
// check_svg.py judges the golden files as XML; here is what depends on the report.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/output/sample_report.h"
#include "user/output/flame_tree.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using testing::HasSubstr;
using testing::Not;

void expect_sums(const FlameNode& node) {
  std::uint64_t weight = 0;
  std::uint64_t bytes = 0;
  for (const FlameNode& child : node.children) {
    weight += child.weight;
    bytes += child.bytes;
    expect_sums(child);
  }
  EXPECT_LE(weight, node.weight) << node.frame.name;
  EXPECT_LE(bytes, node.bytes) << node.frame.name;
}

TEST(FlameTree, TotalsAreThoseOfTheSites) {
  const analyze::Report report = awkward_report();
  const FlameNode root = flame_tree(report);
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  for (const analyze::ReportSite& site : report.sites) {
    bytes += site.outstanding_bytes;
    count += site.outstanding_count;
  }
  EXPECT_EQ(root.bytes, bytes);
  EXPECT_EQ(root.count, count);
  expect_sums(root);
}

TEST(FlameTree, StacksMergeFromTheOutside) {
  analyze::Report report = plain_report();
  report.sites.push_back(report.sites[0]);
  report.sites[1].stack[0].source.function = "other";
  const FlameNode root = flame_tree(report);
  ASSERT_EQ(root.children.size(), 1U);
  const FlameNode& main = root.children[0].children.at(0);
  EXPECT_EQ(main.frame.name, "main");
  EXPECT_EQ(main.frame.source, "src/main.c:30");
  EXPECT_EQ(main.children.size(), 2U);
  EXPECT_EQ(main.bytes, 122880U);
}

TEST(FlameTree, AFunctionCalledFromTwoLinesNamesNone) {
  analyze::Report report = plain_report();
  report.sites.push_back(report.sites[0]);
  report.sites[1].stack[1].source.line = 31;
  const FlameNode root = flame_tree(report);
  EXPECT_EQ(root.children[0].children.at(0).frame.source, "");
}

TEST(FlameGraph, LoadsNothing) {
  const std::string svg = write_flame_graph(awkward_report());
  EXPECT_THAT(svg, Not(HasSubstr("href")));
  EXPECT_THAT(svg, Not(HasSubstr("url(")));
  EXPECT_THAT(svg, Not(HasSubstr("@import")));
}

TEST(FlameGraph, NamesAreEscaped) {
  const std::string svg = write_flame_graph(awkward_report());
  EXPECT_THAT(svg, HasSubstr("server &lt;&amp;&quot;&#39;&gt; (1234)"));
  EXPECT_THAT(svg, Not(HasSubstr("<&\"")));
}

TEST(FlameGraph, NarrowFramesAreOneBoxAndKeepTheirBytesInTheParent) {
  analyze::Report report = plain_report();
  report.sites[0].outstanding_bytes = 100'000'000;
  for (int i = 0; i < 50; ++i) {
    analyze::ReportSite site = report.sites[0];
    site.stack[0].source.function = fmt::format("tiny_{}", i);
    site.outstanding_bytes = 1000;
    site.outstanding_count = 1;
    report.sites.push_back(site);
  }
  const std::string svg = write_flame_graph(report);
  EXPECT_THAT(svg, Not(HasSubstr("tiny_")));
  EXPECT_THAT(svg, HasSubstr("50 frames too small to draw\n48.8 KiB in 50 resources"));
  EXPECT_THAT(svg, HasSubstr("data-bytes=\"100050000\""));
}

TEST(FlameGraph, ColoursDependOnNamesAlone) {
  const analyze::Report plain = plain_report();
  analyze::Report other = plain_report();
  other.sites[0].outstanding_bytes *= 3;
  other.targets[0].pid = 9;
  const auto style = [](const std::string& svg) {
    return svg.substr(svg.find("<style>"), svg.find("</style>") - svg.find("<style>"));
  };
  EXPECT_EQ(style(write_flame_graph(plain)), style(write_flame_graph(other)));
}

TEST(FlameGraph, SaysThatNumbersAreEstimates) {
  const std::string svg = write_flame_graph(paused_report());
  EXPECT_THAT(svg, HasSubstr("leaktrace: outstanding bytes (estimates) of server (1234)"));
  EXPECT_THAT(svg, HasSubstr("3.4 MiB (1.7 MiB to 6.9 MiB) outstanding"));
  EXPECT_THAT(svg, HasSubstr("sampled, one in 512 KiB on average, by now in 8 MiB, observed 37 % "
                             "of the time to keep a budget of 5 %"));
  EXPECT_THAT(write_flame_graph(plain_report()), Not(HasSubstr("estimates")));
}

}  // namespace
}  // namespace leaktrace::output
