// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/unit/output/sample_report.h"
#include "user/output/flame_tree.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using testing::HasSubstr;

TEST(Folded, IsOutermostFirstWithBytes) {
  EXPECT_EQ(write_folded(plain_report()), "server-1234;main;leaky_handler 61440\n");
  EXPECT_EQ(write_folded(empty_report()), "");
}

TEST(Folded, EveryLineIsAStackAndANumberAndWeightsAddUp) {
  const analyze::Report report = awkward_report();
  std::uint64_t expected = 0;
  for (const analyze::ReportSite& site : report.sites) expected += flame_weight(site);
  std::uint64_t sum = 0;
  std::istringstream lines(write_folded(report));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::size_t blank = line.rfind(' ');
    ASSERT_NE(blank, std::string::npos) << line;
    EXPECT_NE(blank, 0U);
    ASSERT_TRUE(std::all_of(line.begin() + static_cast<std::ptrdiff_t>(blank) + 1, line.end(),
                            [](char c) { return c >= '0' && c <= '9'; }))
        << line;
    sum += std::stoull(line.substr(blank + 1));
  }
  EXPECT_EQ(count, report.sites.size());
  EXPECT_EQ(sum, expected);
}

TEST(Folded, SeparatorsInNamesAreReplaced) {
  const std::string folded = write_folded(awkward_report());
  EXPECT_THAT(folded, HasSubstr("stripped:lib\uFFFD.so+0x99"));
}

TEST(Folded, ZeroByteBlocksCountOneEach) {
  EXPECT_THAT(write_folded(awkward_report()), HasSubstr(";main;größe 7\n"));
}

TEST(Folded, CutStacksAreNotTakenForWholeOnes) {
  EXPECT_THAT(write_folded(awkward_report()),
              HasSubstr("-1234;[stack cut here: it is deeper than the 127 frames, or those of "
                        "--stack-depth, that are kept];walk<126>"));
}

TEST(Folded, InlinedFramesAreFramesAndEqualStacksAreOneLine) {
  analyze::Report report = plain_report();
  report.sites[0].stack[0].source.inlined = true;
  report.sites.push_back(report.sites[0]);
  report.sites[1].kind = model::Kind::mmap;
  EXPECT_EQ(write_folded(report), "server-1234;main;leaky_handler 122880\n");
}

}  // namespace
}  // namespace leaktrace::output
