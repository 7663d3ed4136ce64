// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/site_identity.h"

#include <gtest/gtest.h>

#include "tests/unit/analyze/report_builder.h"

namespace leaktrace::analyze {
namespace {

using Side = SiteIdentity::Side;

const std::string kServer = "/usr/bin/server";

/// Do the last sites of the two reports meet, and how?
struct Meeting {
  bool by_code = false;
  bool by_names = false;
};

Meeting meeting(ReportBuilder& older, ReportBuilder& newer) {
  const SiteIdentity identity(older.report(), newer.report());
  const ReportSite& before = older.report().sites.back();
  const ReportSite& now = newer.report().sites.back();
  const auto name = identity.by_names(Side::older, before);
  return {identity.exact(Side::older, before) == identity.exact(Side::newer, now),
          name.has_value() && name == identity.by_names(Side::newer, now)};
}

Meeting meeting(std::vector<ReportFrame> before, std::vector<ReportFrame> now) {
  ReportBuilder older(100);
  ReportBuilder newer(200);
  older.site(std::move(before), 1, 1);
  newer.site(std::move(now), 1, 1);
  return meeting(older, newer);
}

TEST(SiteIdentity, AddressesAndProcessesAreNoPartOfIt) {
  auto before = frame_of(kServer, "aa", "leak", 0x10);
  auto now = before;
  now.address += 0x7000;
  EXPECT_TRUE(meeting({before}, {now}).by_code);
}

TEST(SiteIdentity, AnotherOffsetOfTheSameBuildIsAnotherSite) {
  const Meeting met =
      meeting({frame_of(kServer, "aa", "leak", 0x10)}, {frame_of(kServer, "aa", "leak", 0x20)});
  EXPECT_FALSE(met.by_code);
  EXPECT_FALSE(met.by_names);
}

TEST(SiteIdentity, OfAnotherBuildTheFunctionsCount) {
  const Meeting met = meeting({frame_of(kServer, "aa", "leak", 0x10, 1)},
                              {frame_of(kServer, "bb", "leak", 0x20, 2)});
  EXPECT_FALSE(met.by_code);
  EXPECT_TRUE(met.by_names);
  EXPECT_FALSE(
      meeting({frame_of(kServer, "aa", "leak", 0x10)}, {frame_of(kServer, "bb", "other", 0x10)})
          .by_names);
}

TEST(SiteIdentity, AFileThatStayedIsHeldToItsOffsetsThoughAnotherWasRebuilt) {
  const auto main_before = frame_of(kServer, "aa", "main", 0x10);
  const auto main_now = frame_of(kServer, "bb", "main", 0x30);
  const std::string lib = "/usr/lib/libx.so.1";
  EXPECT_TRUE(meeting({frame_of(lib, "cc", "x", 0x1), main_before},
                      {frame_of(lib, "cc", "x", 0x1), main_now})
                  .by_names);
  EXPECT_FALSE(meeting({frame_of(lib, "cc", "x", 0x1), main_before},
                       {frame_of(lib, "cc", "x", 0x2), main_now})
                   .by_names);
}

TEST(SiteIdentity, ALibraryOfAnotherVersionIsTheSameFile) {
  EXPECT_TRUE(meeting({frame_of("/usr/lib/libx.so.1.2", "aa", "x", 0x1)},
                      {frame_of("/opt/lib/libx.so.1.3", "bb", "x", 0x2)})
                  .by_names);
  EXPECT_FALSE(meeting({frame_of("/usr/lib/libx.so.1", "aa", "x", 0x1)},
                       {frame_of("/usr/lib/liby.so.1", "bb", "x", 0x1)})
                   .by_names);
}

TEST(SiteIdentity, NamelessFramesOfAnotherBuildDoNotMatterUnlessTheyNameTheSite) {
  const std::string libc = "/usr/lib/libc.so.6";
  const auto leak = frame_of(kServer, "aa", "leak", 0x10);
  EXPECT_TRUE(meeting({leak, frame_of(libc, "cc", "", 0x1)}, {leak, frame_of(libc, "dd", "", 0x2)})
                  .by_names);
  EXPECT_FALSE(
      meeting({frame_of(kServer, "aa", "", 0x10)}, {frame_of(kServer, "bb", "", 0x10)}).by_names);
}

TEST(SiteIdentity, VariantsThatACompilerMakesAreOneFunction) {
  EXPECT_EQ(name_over_builds("f.part.0"), "f");
  EXPECT_EQ(name_over_builds("f.constprop.0.isra.0"), "f");
  EXPECT_EQ(name_over_builds("f.cold"), "f");
  EXPECT_EQ(name_over_builds("ns::f(int) [clone .cold]"), "ns::f(int)");
  EXPECT_EQ(name_over_builds("pkg.particle"), "pkg.particle");
  EXPECT_EQ(name_over_builds(""), "");
  EXPECT_EQ(name_over_builds(".cold"), ".cold");
}

TEST(SiteIdentity, FileNamesLoseVersionsAndProcesses) {
  EXPECT_EQ(file_over_builds("/usr/lib/libstdc++.so.6.0.30"), "libstdc++.so");
  EXPECT_EQ(file_over_builds("/usr/lib/libx.so"), "libx.so");
  EXPECT_EQ(file_over_builds("/tmp/perf-1234.map"), "perf.map");
  EXPECT_EQ(file_over_builds(""), "");
}

TEST(SiteIdentity, InlinedFramesDoNotMatterForTheSameCode) {
  auto inlined = frame_of(kServer, "aa", "small", 0x10, 3);
  inlined.source.inlined = true;
  const auto leak = frame_of(kServer, "aa", "leak", 0x10);
  EXPECT_TRUE(meeting({inlined, leak}, {leak}).by_code);
}

TEST(SiteIdentity, LinesOfScriptsTellSitesApartUntilNoneIsThere) {
  const std::string python(model::kPythonModule);
  // The offset only numbers what was seen.
  EXPECT_TRUE(meeting({frame_of(python, "", "fill", 1, 10)}, {frame_of(python, "", "fill", 7, 10)})
                  .by_code);
  const Meeting moved =
      meeting({frame_of(python, "", "fill", 1, 10)}, {frame_of(python, "", "fill", 1, 12)});
  EXPECT_FALSE(moved.by_code);
  EXPECT_TRUE(moved.by_names);
}

TEST(SiteIdentity, JustInTimeCodeIsKnownByName) {
  EXPECT_TRUE(meeting({frame_of("/tmp/perf-100.map", "", "JS:~f", 1)},
                      {frame_of("/tmp/perf-200.map", "", "JS:~f", 5)})
                  .by_code);
}

TEST(SiteIdentity, KindsAreApart) {
  ReportBuilder older;
  ReportBuilder newer;
  older.site({frame_of(kServer, "aa", "f", 1)}, 1, 1, model::Kind::heap);
  newer.site({frame_of(kServer, "aa", "f", 1)}, 1, 1, model::Kind::mmap);
  const Meeting met = meeting(older, newer);
  EXPECT_FALSE(met.by_code);
  EXPECT_FALSE(met.by_names);
}

TEST(SiteIdentity, OneProgramUnderAnotherNameIsTheSame) {
  ReportBuilder older;
  ReportBuilder newer;
  older.report().targets.clear();
  newer.report().targets.clear();
  older.executable(1, "server-1.0", "/opt/server-1.0")
      .site({frame_of("/opt/server-1.0", "aa", "leak", 0x10)}, 1, 1);
  newer.executable(2, "server-1.1", "/opt/server-1.1")
      .site({frame_of("/opt/server-1.1", "bb", "leak", 0x20)}, 1, 1);
  EXPECT_TRUE(meeting(older, newer).by_names);
}

TEST(SiteIdentity, SeveralProgramsAreApart) {
  ReportBuilder older;
  ReportBuilder newer;
  const auto shared = frame_of("/usr/lib/libx.so.1", "cc", "work", 0x10);
  older.target(101, "worker").site({shared}, 1, 1);
  newer.target(201, "helper").site({shared}, 1, 1);
  EXPECT_FALSE(meeting(older, newer).by_code);
  newer.target(202, "worker").site({shared}, 1, 1);
  EXPECT_TRUE(meeting(older, newer).by_code);
}

TEST(SiteIdentity, SitesWithoutStackMeet) {
  const Meeting met = meeting(std::vector<ReportFrame>{}, std::vector<ReportFrame>{});
  EXPECT_TRUE(met.by_code);
}

}  // namespace
}  // namespace leaktrace::analyze
