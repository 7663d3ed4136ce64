// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/analyze/trace_builder.h"
#include "user/analyze/report.h"

namespace leaktrace::analyze {
namespace {

using model::Kind;
using testing::ElementsAre;
using testing::IsEmpty;

model::SiteKey cursor_site(std::uint64_t stack) {
  return site_key(stack, 1, Kind::pg_cursor);
}

model::Connection shop_connection() {
  model::Connection connection;
  connection.image = {1};
  connection.handle = 0x5581;
  connection.host = "db1";
  connection.port = "5432";
  connection.database = "shop";
  connection.user = "app";
  connection.state = model::ConnectionState::in_transaction;
  connection.since_ns = kSecond;
  connection.state_since_ns = 8 * kSecond;
  connection.transaction_since_ns = 6 * kSecond;
  connection.open_count = 3;
  connection.open_by_kind = {{Kind::pg_statement, 2}, {Kind::pg_cursor, 1}};
  connection.open = {{Kind::pg_cursor, "c1", "DECLARE c1 …", "with hold", 6 * kSecond, {1}},
                     {Kind::pg_statement, "s1", "SELECT $1", "", 7 * kSecond, {9}}};
  return connection;
}

/// A heap block, and cursors at two stacks.
TraceBuilder traced() {
  TraceBuilder trace;
  trace.process(1, 100, "server").stack(1, {0x10}).stack(2, {0x20});
  trace.read(10 * kSecond, {{site_key(2), {1, 64, 0, 0, 0}},
                            {cursor_site(1), {2, 0, 1, 0, 0}},
                            {cursor_site(2), {5, 0, 1, 0, 0}}});
  trace.apply(model::SiteDetail{.site = cursor_site(2),
                                .sql = "DECLARE c CURSOR FOR SELECT $1",
                                .connection = "app@db1:5432/shop",
                                .state = "",
                                .names = {"a", "b"},
                                .connections = 2});
  trace.apply(model::Connections{10 * kSecond, 7, {shop_connection()}});
  return trace;
}

TEST(ReportPostgres, WhatIsCountedStandsBehindWhatIsWeighed) {
  const auto report = report_of(traced());
  ASSERT_TRUE(report);
  ASSERT_EQ(report->sites.size(), 3U);
  EXPECT_EQ(report->sites[0].kind, Kind::heap);
  EXPECT_EQ(report->sites[1].outstanding_count, 4U);
  EXPECT_EQ(report->sites[2].outstanding_count, 1U);
  // The memory of a result is in blocks of the heap: it is in no sum twice.
  EXPECT_EQ(report->all_sites, 1U);
  EXPECT_EQ(report->all_outstanding_bytes, 64U);
  EXPECT_EQ(report->postgres.at(Kind::pg_cursor).outstanding_count(), 5U);
}

TEST(ReportPostgres, TopKeepsSoManyOfEach) {
  ReportOptions options;
  options.top = 1;
  const auto report = report_of(traced(), options);
  ASSERT_TRUE(report);
  ASSERT_EQ(report->sites.size(), 2U);
  EXPECT_EQ(report->sites[0].kind, Kind::heap);
  EXPECT_EQ(report->sites[1].outstanding_count, 4U);
}

TEST(ReportPostgres, SitesSayWhatTheyHold) {
  const auto report = report_of(traced());
  ASSERT_TRUE(report);
  ASSERT_TRUE(report->sites[1].detail);
  EXPECT_EQ(report->sites[1].detail->connection, "app@db1:5432/shop");
  EXPECT_THAT(report->sites[1].detail->names, ElementsAre("a", "b"));
  EXPECT_FALSE(report->sites[0].detail);
  EXPECT_FALSE(report->sites[2].detail);
}

TEST(ReportPostgres, ConnectionsSayWhatEachHoldsAndWhoOpenedIt) {
  const auto report = report_of(traced());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->all_connections, 7U);
  ASSERT_EQ(report->connections.size(), 1U);
  const ReportConnection& connection = report->connections[0];
  EXPECT_EQ(connection.pid, 100U);
  EXPECT_EQ(connection.words, "app@db1:5432/shop");
  EXPECT_EQ(connection_state_name(connection.state), "idle in transaction");
  EXPECT_DOUBLE_EQ(connection.state_seconds, 2);
  EXPECT_DOUBLE_EQ(connection.transaction_seconds, 4);
  ASSERT_EQ(connection.open.size(), 2U);
  EXPECT_EQ(connection.open[0].label, "f10");
  EXPECT_DOUBLE_EQ(connection.open[0].age_seconds, 4);
  EXPECT_EQ(connection.open[1].label, "(no stack)");
  EXPECT_EQ(connection.open_total, 3U);
}

TEST(ReportPostgres, KindsThatAreNotAskedForAreInNoList) {
  ReportOptions options;
  options.kinds = {Kind::pg_statement};
  const auto report = report_of(traced(), options);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->sites, IsEmpty());
  ASSERT_EQ(report->connections.size(), 1U);
  ASSERT_EQ(report->connections[0].open.size(), 1U);
  EXPECT_EQ(report->connections[0].open[0].name, "s1");
  options.kinds = {Kind::heap};
  EXPECT_THAT(report_of(traced(), options)->connections, IsEmpty());
}

TEST(ReportPostgres, AgesEndWithTheProcess) {
  TraceBuilder trace = traced();
  trace.end(1, model::EndReason::exited, 9 * kSecond);
  trace.read(60 * kSecond, {});
  const auto report = report_of(trace);
  ASSERT_TRUE(report);
  EXPECT_DOUBLE_EQ(report->connections[0].open[0].age_seconds, 3);
}

TEST(ReportPostgres, DetailsGoWithTheProgramThatIsReplaced) {
  TraceBuilder trace = traced();
  trace.end(1, model::EndReason::replaced, 9 * kSecond);
  EXPECT_EQ(trace.trace().detail(cursor_site(2)), nullptr);
}

}  // namespace
}  // namespace leaktrace::analyze
