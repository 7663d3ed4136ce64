// SPDX-License-Identifier: Apache-2.0
//
// Clients of PostgreSQL whose probes come and go to keep to a budget: what is closed while nobody
// looks is no leak, what is kept is found, and connections are seen all the time.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using testing::IsEmpty;

constexpr const char* kTracedFor = "10";
constexpr Seconds kLimit{60};

double duty(const Report& report) {
  return report.json().at("mode").at("duty_percent");
}

std::uint64_t held_of(const std::string& out, const std::string& kind,
                      const std::string& function) {
  for (const Held& held : held_said(out)) {
    if (held.kind == kind && held.function == function) return held.count;
  }
  return 0;
}

class PostgresBudget : public PostgresTest {
 protected:
  /// The report of a client that was traced for some seconds, and ended by itself afterwards.
  Report traced() {
    Process busy(client("pg_busy", {}));
    EXPECT_TRUE(busy.wait_for_line("ready"));
    Attached attached({busy.pid()}, {"--kinds", "pg", "--duration", kTracedFor});
    Report report = attached.wait(kLimit);
    EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
    busy.signal(SIGTERM);
    EXPECT_EQ(busy.wait(kLimit).status, 0) << busy.err();
    out_ = busy.out();
    return report;
  }

  /// Of what was seen to be kept at least half is taken to be there still, although it may have
  /// been closed when nobody looked; of what was closed nearly nothing is.
  void expect_leaks_only(const Report& report, const std::string& kind, const std::string& keeps,
                         const std::string& closes) {
    const Amount kept = report.outstanding(keeps, kind);
    EXPECT_GT(kept.count, 0U) << keeps;
    EXPECT_GE(kept.count * 2, report.acquired(keeps, kind).count) << keeps;
    EXPECT_LE(kept.count, held_of(out_, kind, keeps)) << keeps;
    const std::uint64_t opened = acquired_of(report, kind);
    EXPECT_GT(opened, 5 * kept.count) << kind;
    EXPECT_LE(report.outstanding(closes, kind).count * 20, opened + 100) << closes;
  }

  std::string out_;  ///< what the client said at its end
};

TEST_F(PostgresBudget, WhatIsClosedUnseenIsNoLeak) {
  const Report report = traced();
  EXPECT_EQ(report.json().at("mode").at("budget_percent"), 2.0);
  EXPECT_LT(duty(report), 90);
  EXPECT_GT(duty(report), 0);
  expect_leaks_only(report, "pg.statement", "keep_statements", "close_statements");
  expect_leaks_only(report, "pg.cursor", "keep_cursors", "close_cursors");
  EXPECT_LE(report.outstanding("sql", "pg.result").count, 5U);
  EXPECT_GT(report.outstanding("keep_results", "pg.result").count, 0U);
  auto losses = harmful_losses(report);
  losses.erase("pg_unmatched_close");  // opened when nobody looked
  EXPECT_THAT(losses, IsEmpty());
}

/// Nobody names the kinds: heap and PostgreSQL share one budget, and its windows.
TEST_F(PostgresBudget, IsHeldWithTheHeapToo) {
  Process busy(client("pg_busy", {}));
  ASSERT_TRUE(busy.wait_for_line("ready"));
  Attached attached({busy.pid()}, {"--duration", kTracedFor});
  const Report report = attached.wait(kLimit);
  EXPECT_EQ(attached.outcome().status, 0) << attached.outcome().err;
  EXPECT_EQ(report.json().at("mode").at("budget_percent"), 5.0);
  EXPECT_GT(acquired_of(report, "pg.statement"), 0U);
  EXPECT_EQ(report.json().at("postgres").at("connections_total"), 1);
  busy.signal(SIGTERM);
  EXPECT_EQ(busy.wait(kLimit).status, 0) << busy.err();
}

}  // namespace
}  // namespace leaktrace::runtime
