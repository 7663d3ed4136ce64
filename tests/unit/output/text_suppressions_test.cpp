// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_suppressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "user/output/text_flagged.h"

namespace leaktrace::output {
namespace {

using analyze::SuppressionState;
using analyze::SuppressionUse;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

analyze::Report report_with(std::vector<SuppressionUse> uses) {
  analyze::Report report;
  report.final = true;
  report.suppressed = std::move(uses);
  return report;
}

SuppressionUse use(SuppressionState state, std::uint64_t sites = 0) {
  return {"ci.yaml:7", "known", "", state, sites, sites * 3, sites * 2048, 0};
}

TEST(TextSuppressions, WithoutRulesAreNotSpokenOf) {
  EXPECT_EQ(suppression_lines(report_with({})), "");
  EXPECT_EQ(suppressed_words(report_with({})), "");
}

TEST(TextSuppressions, SayWhatIsLeftOutAndWhy) {
  SuppressionUse cursors = use(SuppressionState::matched, 1);
  cursors.outstanding_count = cursors.outstanding_bytes = 0;
  cursors.postgres_count = 14;
  const auto report = report_with({use(SuppressionState::matched, 2), cursors});
  EXPECT_EQ(suppression_lines(report),
            "suppressed: 2 sites, 4.0 KiB in 6 resources (known; ci.yaml:7)\n"
            "suppressed: 1 site, 14 open in PostgreSQL (known; ci.yaml:7)\n");
  EXPECT_EQ(suppressed_words(report), "3 sites suppressed");
}

TEST(TextSuppressions, ARuleBehindOneThatTookItsSitesIsSilent) {
  EXPECT_EQ(suppression_lines(report_with({use(SuppressionState::matched)})), "");
}

TEST(TextSuppressions, UnmatchedOnesAreSaidWhenTheTraceIsOver) {
  analyze::Report report = report_with({use(SuppressionState::unmatched)});
  EXPECT_THAT(suppression_lines(report), HasSubstr("fits nothing outstanding (known; ci.yaml:7)"));
  report.final = false;
  EXPECT_EQ(suppression_lines(report), "");
  report.cut_off = true;
  EXPECT_THAT(suppression_lines(report), HasSubstr("fits nothing outstanding"));
}

TEST(TextSuppressions, ExpiredOnesAreAlwaysSaid) {
  SuppressionUse old = use(SuppressionState::expired);
  old.expires = "2020-02-29";
  analyze::Report report = report_with({old});
  report.final = false;
  EXPECT_THAT(suppression_lines(report), HasSubstr("expired on 2020-02-29"));
}

TEST(TextSuppressions, LongListsEnd) {
  const std::vector<SuppressionUse> many(25, use(SuppressionState::unmatched));
  const std::string lines = suppression_lines(report_with(many));
  EXPECT_EQ(std::ranges::count(lines, '\n'), 11);
  EXPECT_THAT(lines, HasSubstr("… and 15 more, which the JSON report lists\n"));
}

analyze::ReportSite growing(const std::string& label) {
  analyze::ReportSite site;
  site.label = label;
  site.comm = "server";
  site.pid = 12;
  site.verdict = analyze::Verdict::growing;
  site.growth_low = 2048;
  site.count_per_second = 0.25;
  site.evidence = "floor rose in 11 of 12 windows";
  return site;
}

TEST(TextFlagged, NamesTheSiteAndTheRateThatWasJudged) {
  EXPECT_THAT(flagged_lines({}), IsEmpty());
  analyze::ReportSite blocks = growing("Cache::fill\x1b[31m");
  analyze::ReportSite cursors = growing("scan");
  cursors.kind = model::Kind::pg_cursor;
  const auto lines = flagged_lines({&blocks, &cursors});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "--fail-on: flagged 2 call sites");
  EXPECT_THAT(lines[1], AllOf(HasSubstr("growing: Cache::fill"), Not(HasSubstr("\x1b")),
                              HasSubstr("[heap] in server (12), at least +2.0 KiB/s: floor rose")));
  EXPECT_THAT(lines[2], HasSubstr("scan [pg.cursor] in server (12), +0.25 cursors/s: floor rose"));
}

TEST(TextFlagged, NamesTenAndCountsTheRest) {
  const analyze::ReportSite site = growing("f");
  const auto lines = flagged_lines(std::vector<const analyze::ReportSite*>(13, &site));
  ASSERT_EQ(lines.size(), 12U);
  EXPECT_EQ(lines.back(), "… and 3 more");
}

}  // namespace
}  // namespace leaktrace::output
