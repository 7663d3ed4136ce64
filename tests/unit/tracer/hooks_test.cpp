// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace leaktrace::tracer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
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

TEST(OwnReturns, AreDeclinedWithTheReasonWhereTheKernelDoesHarmWithThem) {
  const std::vector<catalog::Row> rows = {{"malloc", catalog::Applies::always, {}},
                                          {"_Znwm", catalog::Applies::always, {}}};
  std::vector<Hook> hooks = {hook(0), hook(1)};
  hooks[1].returns.emplace_back();
  decline_own_returns(hooks, "it does not survive an exception");
  EXPECT_EQ(hooks[0].declined, "");
  EXPECT_THAT(hooks[1].declined, HasSubstr("it does not survive an exception"));
  EXPECT_THAT(hooks[1].returns, IsEmpty());
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

TEST(Cookies, SayHowAReturnIsSeen) {
  Hook made = hook(200);
  made.pg_layout = 7;
  EXPECT_EQ(made.cookie() & LT_COOKIE_OWN_RETURNS, 0U);
  made.returns.emplace_back();
  EXPECT_NE(made.cookie() & LT_COOKIE_OWN_RETURNS, 0U);
  EXPECT_EQ(made.cookie() & LT_COOKIE_AT_RETURN, 0U);

  const std::uint64_t cookie = made.return_cookie(made.returns[0]);
  EXPECT_EQ(LT_COOKIE_ROW(cookie), 200U);
  EXPECT_EQ(LT_COOKIE_LAYOUT(cookie), 7U);
  EXPECT_NE(cookie & LT_COOKIE_AT_RETURN, 0U);
  EXPECT_NE(cookie & LT_COOKIE_STEPPED, 0U);
}

TEST(CheckHooks, LeaveOutWhatHasNoSafeReturn) {
  const std::vector<catalog::Row> rows(catalog::memory_rows().begin(),
                                       catalog::memory_rows().end());
  const auto row = [&](const std::string& symbol) {
    return static_cast<std::uint32_t>(std::ranges::find(rows, symbol, &catalog::Row::symbol) -
                                      rows.begin());
  };
  std::vector<Hook> hooks = {hook(row("malloc")), hook(row("calloc")), hook(row("free"))};
  hooks[1].declined = "its returns cannot be found: it has no return instruction";
  const Module module;
  const CheckedHooks checked = check_hooks(hooks, rows, module, MappedCode(-1, {}, {}));
  ASSERT_THAT(checked.hooks, SizeIs(2));
  EXPECT_EQ(checked.hooks[0].row, hooks[0].row);
  ASSERT_TRUE(checked.loss);
  EXPECT_EQ(checked.loss->why, "calloc: its returns cannot be found: it has no return instruction");

  // What moves a block gives one back: without it all of the kind would look leaked.
  hooks.push_back(hook(row("realloc")));
  hooks[3].declined = "its returns cannot be found";
  EXPECT_THAT(check_hooks(hooks, rows, module, MappedCode(-1, {}, {})).hooks, testing::IsEmpty());
}

}  // namespace
}  // namespace leaktrace::tracer
