// SPDX-License-Identifier: Apache-2.0
// What the writers say of differences; that it stays as a person has seen it is for
// diff_golden_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/output/sample_diff.h"
#include "user/base/printable.h"
#include "user/output/diff_format.h"
#include "user/output/diff_writers.h"
#include "user/output/flame_tree.h"

namespace leaktrace::output {
namespace {

using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

json site_of(const json& diff, const std::string& label) {
  for (const json& site : diff.at("sites")) {
    if (site.at("label") == label) return site;
  }
  ADD_FAILURE() << "no site " << label;
  return {};
}

TEST(DiffFormats, AreThoseOfReports) {
  EXPECT_EQ(diff_formats().front().name, "text");
  EXPECT_TRUE(find_diff_format("svg"));
  EXPECT_THAT(find_diff_format("gif").error().message(), HasSubstr("text, json, folded, svg"));
}

TEST(DiffJson, HasTheFieldsOfTheContract) {
  const json diff = json::parse(write_diff_json(plain_diff()));
  EXPECT_EQ(diff["version"], 1);
  EXPECT_EQ(diff["tool"]["name"], "leaktrace");
  EXPECT_EQ(diff["old"]["recording"], "old.ltr");
  EXPECT_EQ(diff["old"]["target"][0]["pid"], 1234);
  EXPECT_EQ(diff["new"]["target"][0]["pid"], 4321);
  EXPECT_EQ(diff["new"]["period"]["seconds"], 600.0);
  EXPECT_EQ(diff["new"]["losses"]["ring_overflow"], 0);
  const json& heap = diff["kinds"]["heap"];
  EXPECT_EQ(heap["old"]["sites"], 4);
  EXPECT_EQ(heap["changes"]["appeared"]["bytes"], 10240);
  EXPECT_EQ(heap["changes"]["same"]["sites"], 1);
  const json site = site_of(diff, "leaky_handler");
  EXPECT_EQ(site["change"], "grew");
  EXPECT_EQ(site["kind"], "heap");
  EXPECT_EQ(site["old"]["bytes"], 61440);
  EXPECT_EQ(site["new"]["count"], 600);
  EXPECT_EQ(site["difference"]["bytes"], 552960);
  EXPECT_TRUE(site["difference_limits"].is_null());
  EXPECT_EQ(site["per_second"]["new"]["bytes"], 1024.0);
  EXPECT_EQ(site["per_second"]["difference"]["bytes"], 0.0);
  EXPECT_EQ(site["matched_by_names"], false);
  EXPECT_EQ(site["stack"][0]["function"], "leaky_handler");
  EXPECT_EQ(site_of(diff, "retired")["change"], "gone");
  EXPECT_EQ(site_of(diff, "introduced")["change"], "appeared");
  EXPECT_EQ(site_of(diff, "buffer_up")["difference"]["bytes"], -32768);
}

TEST(DiffJson, SaysWhatIsWithinSampling) {
  const json diff = json::parse(write_diff_json(sampled_diff()));
  const json once = site_of(diff, "seen_once_now");
  EXPECT_EQ(once["change"], "same");
  EXPECT_EQ(once["within_sampling"], true);
  EXPECT_LT(once["difference_limits"]["bytes_low"], 0);
  EXPECT_EQ(site_of(diff, "leaky_handler")["change"], "grew");
  EXPECT_GT(site_of(diff, "leaky_handler")["difference_limits"]["bytes_low"], 0);
  EXPECT_EQ(diff["kinds"]["heap"]["changes"]["same"]["within_sampling"], 2);
}

TEST(DiffJson, BytesThatAreNoTextAreReplaced) {
  const std::string text = write_diff_json(awkward_diff());
  EXPECT_TRUE(json::accept(text));
  EXPECT_EQ(text.find('\xff'), std::string::npos);
}

TEST(DiffText, TellsPartsApart) {
  const std::string text = write_diff_text(plain_diff());
  EXPECT_THAT(text, HasSubstr("\ngrew or appeared\n\n 1. leaky_handler  [heap, grew]\n"
                              "    +540.0 KiB: from 60.0 KiB in 60 blocks to 600.0 KiB in 600 "
                              "blocks\n"));
  EXPECT_THAT(text, HasSubstr("2. introduced  [heap, appeared]\n    10.0 KiB in 10 blocks, none "
                              "before\n"));
  EXPECT_THAT(text, HasSubstr("\nshrank or gone\n\n 3. buffer_up  [heap, shrank]\n"));
  EXPECT_THAT(text, HasSubstr("2.0 KiB in 2 blocks before, none now"));
  EXPECT_THAT(text, HasSubstr("the new one is 10.0 times as long"));
  EXPECT_THAT(text, HasSubstr("no losses in the old recording\nno losses in the new recording\n"));
  EXPECT_THAT(text, Not(HasSubstr("load_table")));
}

TEST(DiffText, WhatMayBeChanceIsMarked) {
  const std::string text = write_diff_text(sampled_diff());
  EXPECT_THAT(text, HasSubstr("seen_once_now  [heap, same (within sampling)]"));
  EXPECT_THAT(text, HasSubstr("2 the same (2 within sampling)"));
  EXPECT_THAT(text, HasSubstr("(from 6 samples before and 40 now)"));
}

TEST(DiffText, SaysHowSitesOfARebuiltProgramWereRecognized) {
  const std::string text = write_diff_text(awkward_diff());
  EXPECT_THAT(text, HasSubstr("recognized by its functions"));
  EXPECT_THAT(text, HasSubstr("the old recording is cut off"));
  EXPECT_THAT(text, HasSubstr("losses in the old recording\n"));
  EXPECT_THAT(text, HasSubstr("files in the old recording that could not be read"));
}

TEST(DiffText, LinesFitATerminal) {
  for (const analyze::Diff& diff :
       {plain_diff(), sampled_diff(), awkward_diff(), postgres_diff()}) {
    std::istringstream lines(write_diff_text(diff));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(columns(line), 100U) << line;
      EXPECT_EQ(line, printable(line));
    }
  }
}

TEST(DiffText, OfNothing) {
  EXPECT_THAT(write_diff_text(empty_diff()),
              HasSubstr("nothing is outstanding in either recording"));
}

TEST(DiffText, TopSaysWhatIsLeftOut) {
  analyze::Diff diff = plain_diff();
  diff.sites.erase(diff.sites.begin() + 1);
  EXPECT_THAT(write_diff_text(diff), HasSubstr("… and 1 call site more; --top N shows more"));
}

TEST(DiffFolded, HasBothWeights) {
  const std::string text = write_diff_folded(plain_diff());
  EXPECT_THAT(text, HasSubstr("server;main;leaky_handler 61440 614400\n"));
  EXPECT_THAT(text, HasSubstr("server;main;introduced 0 10240\n"));
  EXPECT_THAT(text, HasSubstr("server;main;retired 2048 0\n"));
}

TEST(DiffFolded, KindsAreApart) {
  EXPECT_THAT(write_diff_folded(sampled_diff()), HasSubstr(";[mmap];main;"));
  EXPECT_THAT(write_diff_folded(postgres_diff()), HasSubstr(";[pg.cursor];"));
}

TEST(DiffFlameGraph, GrowthIsRedAndTheRestIsNot) {
  const std::string svg = write_diff_flame_graph(plain_diff());
  EXPECT_THAT(svg, ContainsRegex("introduced\n[^<]*</title><rect class=.grew5"));
  EXPECT_THAT(svg, ContainsRegex("buffer_up\n[^<]*</title><rect class=.shrank3"));
  EXPECT_THAT(svg, ContainsRegex("retired\n[^<]*</title><rect class=.shrank5"));
  EXPECT_THAT(svg, ContainsRegex("load_table\n[^<]*</title><rect class=.n\""));
  EXPECT_THAT(svg, HasSubstr("+540.0 KiB: from 60.0 KiB in 60 to 600.0 KiB in 600"));
  EXPECT_THAT(svg, Not(HasSubstr("href")));
}

TEST(DiffFlameGraph, ChanceHasNoColour) {
  EXPECT_THAT(write_diff_flame_graph(sampled_diff()),
              Not(ContainsRegex("seen_once_now\n[^<]*</title><rect class=.grew")));
}

TEST(DiffFlameGraph, AFrameIsAsWideAsTheLargerOfItsWeights) {
  const FlameNode root = flame_tree(plain_diff());
  EXPECT_EQ(root.weight, 614400U + 65536 + 10240 + 2048 + 16384);
  EXPECT_EQ(root.older_bytes, 61440U + 65536 + 2048 + 16384);
  EXPECT_EQ(root.bytes, 614400U + 32768 + 10240 + 16384);
}

}  // namespace
}  // namespace leaktrace::output
