// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leaktrace::tracer {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

Hook hook(std::uint32_t row) {
  Hook hook;
  hook.row = row;
  return hook;
}

TEST(ImportedHooks, LeaveOutWhatNobodyImports) {
  catalog::Row always{"PQclear", catalog::Applies::always, {}};
  catalog::Row imported{"PQmakeEmptyPGresult", catalog::Applies::once_imported, {}};
  const std::vector<catalog::Row> rows = {always, imported};
  const std::vector<Hook> hooks = {hook(0), hook(1)};
  Module client;
  client.image.imports = {"PQclear"};
  Module maker;
  maker.image.imports = {"PQmakeEmptyPGresult"};

  const auto without = imported_hooks(hooks, rows, {&client});
  ASSERT_THAT(without, SizeIs(1));
  EXPECT_EQ(without[0].row, 0U);
  EXPECT_THAT(imported_hooks(hooks, rows, {&client, &maker}), SizeIs(2));
  EXPECT_THAT(imported_hooks(hooks, rows, {}), SizeIs(1));
}

TEST(Cookies, KeepWhatProgramsAreTold) {
  Hook made = hook(200);
  made.site.emulated = true;
  made.site.pushed = 24;
  made.pg_layout = 7;
  made.code_pages = 1234;
  const std::uint64_t cookie = made.cookie();
  EXPECT_EQ(LT_COOKIE_ROW(cookie), 200U);
  EXPECT_EQ(LT_COOKIE_PUSHED(cookie), 24U);
  EXPECT_EQ(LT_COOKIE_LAYOUT(cookie), 7U);
  EXPECT_EQ(LT_COOKIE_CODE_PAGES(cookie), 1234U);
  EXPECT_EQ(cookie & LT_COOKIE_STEPPED, 0U);
  made.site.emulated = false;
  EXPECT_NE(made.cookie() & LT_COOKIE_STEPPED, 0U);
  EXPECT_EQ(LT_COOKIE_LAYOUT(made.cookie()), 7U);
}

}  // namespace
}  // namespace leaktrace::tracer
