// SPDX-License-Identifier: Apache-2.0
//
// Calls of libpq that are left by an exception or by the end of their thread, or during which
// another stack calls libpq: the client must not notice that it is traced.
#include <gmock/gmock.h>
#include <signal.h>

#include <sstream>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using testing::IsEmpty;

/// What pg_left says in the end; nothing of it depends on whether it is traced.
constexpr const char* kSaidOfException = "caught 5\nslots 100\nresults 0\n";
constexpr const char* kSaidOfCancel = "caught 0\nslots 100\nresults 0\n";
constexpr const char* kSaidOfFibers = "caught 0\nslots 100\nresults 10\n";

class PostgresReturnsTest : public PostgresTest {
 protected:
  struct Seen {
    std::string said;
    int status = -1;
    Report report;
  };

  /// Runs pg_left; with leaktrace attached before it begins.
  static Seen trace(const std::string& how, const std::vector<std::string>& options = {}) {
    Process client({testprog("postgres/pg_left"), server().conninfo(), how});
    EXPECT_TRUE(client.wait_for_line("ready")) << client.err();
    std::vector<std::string> all = {"--kinds", "pg"};
    all.insert(all.end(), options.begin(), options.end());
    Attached leaktrace({client.pid()}, all);
    client.signal(SIGUSR1);
    EXPECT_TRUE(client.wait_for_line("done", Seconds(30))) << client.err();
    Report report = leaktrace.stop();
    EXPECT_EQ(leaktrace.outcome().status, 0) << leaktrace.outcome().err;
    client.signal(SIGTERM);
    const Outcome outcome = client.wait(Seconds(10));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return {numbers(outcome.out), outcome.status, std::move(report)};
  }

  static std::string numbers(const std::string& out) {
    std::istringstream lines(out);
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("ready", 0) != 0 && line.rfind("done", 0) != 0) kept += line + '\n';
    }
    return kept;
  }
};

TEST_F(PostgresReturnsTest, AnExceptionLeavesAQueryByItsNoticeProcessor) {
  for (const char* mode : {"auto", "multi", "single"}) {
    SCOPED_TRACE(mode);
    const Seen seen = trace("exception", {"--probe-mode", mode});
    EXPECT_EQ(seen.said, kSaidOfException);
    EXPECT_EQ(acquired_of(seen.report, "pg.connection"), 5U);
    EXPECT_EQ(outstanding_of(seen.report, "pg."), 0U);
  }
}

TEST_F(PostgresReturnsTest, DestructorsOfACancelledThreadRun) {
  const Seen seen = trace("cancel");
  EXPECT_EQ(seen.said, kSaidOfCancel);
  // Nobody closes the connections of the threads.
  EXPECT_EQ(outstanding_of(seen.report, "pg.connection"), 5U);
  EXPECT_EQ(outstanding_of(seen.report, "pg.result"), 0U);
}

TEST_F(PostgresReturnsTest, FibersSwitchInANoticeProcessor) {
  for (const char* mode : {"auto", "multi", "single"}) {
    SCOPED_TRACE(mode);
    const Seen seen = trace("fiber", {"--probe-mode", mode});
    EXPECT_EQ(seen.said, kSaidOfFibers);
    EXPECT_EQ(outstanding_of(seen.report, "pg."), 0U);
  }
}

}  // namespace
}  // namespace leaktrace::runtime
