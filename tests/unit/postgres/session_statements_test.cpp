// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

class SessionStatements : public SessionFixture {
 protected:
  void prepare(std::string_view name, std::string_view sql = "SELECT $1") {
    send(CommandKind::prepare, name, sql);
    ok();
    done(status_);
  }
  void close_statement(std::string_view name) {
    send(CommandKind::close_statement, name, "");
    ok();
    done(status_);
  }
  void execute(std::string_view name, std::string_view tag, TransactionStatus status) {
    send(CommandKind::execute, name, "");
    ok(tag);
    done(status);
  }
  TransactionStatus status_ = kIdle;
};

TEST_F(SessionStatements, PrepareOpensAndDeallocateCloses) {
  prepare("a", "SELECT 'secret'");
  query("PREPARE b AS SELECT 'secret'", {"PREPARE"});
  EXPECT_THAT(statements(), ElementsAre("a", "b"));
  EXPECT_EQ(described().open[0].sql, "SELECT $1");
  EXPECT_EQ(described().open[1].sql, "PREPARE b AS SELECT $1");
  query("DEALLOCATE a", {"DEALLOCATE"});
  close_statement("b");
  EXPECT_THAT(statements(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionStatements, AFailedPrepareChangesNothing) {
  prepare("a");
  send(CommandKind::prepare, "a", "SELECT 2");
  error();
  done();
  EXPECT_THAT(statements(), ElementsAre("a"));
  EXPECT_EQ(counters(7, model::Kind::pg_statement).acquired_count, 1U);
}

TEST_F(SessionStatements, SuccessForANameThatIsOpenMeansAMissedClose) {
  prepare("a");
  prepare("a");
  EXPECT_THAT(statements(), ElementsAre("a"));
  const auto counted = counters(7, model::Kind::pg_statement);
  EXPECT_EQ(counted.acquired_count, 2U);
  EXPECT_EQ(counted.released_count, 1U);
}

TEST_F(SessionStatements, TheyAreNotOfTheTransaction) {
  begin();
  status_ = kInTransaction;
  prepare("a");
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(statements(), ElementsAre("a"));
}

TEST_F(SessionStatements, TheUnnamedOneIsReplacedAndDiesWithTheNextQuery) {
  prepare("");
  prepare("");
  EXPECT_THAT(statements(), ElementsAre(""));
  query("SELECT 1", {"SELECT 1"});
  EXPECT_THAT(statements(), IsEmpty());
  prepare("");
  send(CommandKind::parameters, "", "SELECT 1");
  result(ResultStatus::tuples_ok, "SELECT 1");
  done();
  EXPECT_THAT(statements(), IsEmpty());
  prepare("");
  send(CommandKind::prepare, "", "SELECT nonsense");
  error();
  done();
  EXPECT_THAT(statements(), IsEmpty());
  prepare("");
  close_statement("");
  EXPECT_THAT(statements(), IsEmpty());
  prepare("");
  prepare("named");
  EXPECT_THAT(statements(), ElementsAre("", "named"));
}

TEST_F(SessionStatements, AnAbortedCommandDoesNotDropTheUnnamedOne) {
  prepare("");
  pipeline_ = true;
  send(CommandKind::parameters, "", "SELECT 1");
  result(ResultStatus::pipeline_aborted);
  done();
  EXPECT_THAT(statements(), ElementsAre(""));
}

TEST_F(SessionStatements, DeallocateAllClosesTheNamedOnes) {
  prepare("a");
  prepare("b");
  query("DEALLOCATE ALL", {"DEALLOCATE ALL"});
  EXPECT_THAT(statements(), IsEmpty());
  query("DEALLOCATE ALL", {"DEALLOCATE ALL"});
  EXPECT_EQ(losses(), SessionLosses{});
  // Through the extended protocol the unnamed one is another.
  prepare("");
  prepare("a");
  prepare("drop", "DEALLOCATE ALL");
  execute("drop", "DEALLOCATE ALL", kIdle);
  EXPECT_THAT(statements(), ElementsAre(""));
}

TEST_F(SessionStatements, DiscardAllClosesCursorsToo) {
  prepare("a");
  begin();
  declare("held", "WITH HOLD");
  commit();
  query("DISCARD ALL", {"DISCARD ALL"});
  EXPECT_EQ(described().open_count, 0U);
  prepare("a");
  query("DISCARD ALL", {"DISCARD"});  // as CockroachDB tags it
  EXPECT_EQ(described().open_count, 0U);
  prepare("a");
  query("DISCARD PLANS", {"DISCARD PLANS"});
  EXPECT_THAT(statements(), ElementsAre("a"));
}

TEST_F(SessionStatements, UnknownNamesAreCountedAsFarAsTheyTellSomething) {
  query("DEALLOCATE nothing", {"DEALLOCATE"});
  EXPECT_EQ(losses().unmatched_close, 1U);
  close_statement("nothing");  // which the server takes
  EXPECT_EQ(losses().unmatched_close, 1U);
  from_start_ = false;
  close_statement("nothing");
  EXPECT_EQ(losses().unmatched_close, 2U);
}

TEST_F(SessionStatements, NamesAreCutAsTheServerCutsThem) {
  prepare(std::string(70, 'a'));
  EXPECT_THAT(statements(), ElementsAre(std::string(63, 'a')));
  query("DEALLOCATE " + std::string(65, 'a'), {"DEALLOCATE"});
  EXPECT_THAT(statements(), IsEmpty());
}

TEST_F(SessionStatements, ExecuteDoesWhatItsSqlDoes) {
  prepare("begin", "BEGIN");
  prepare("open", "DECLARE c CURSOR FOR SELECT 1");
  prepare("shut", "CLOSE c");
  prepare("end", "COMMIT");
  execute("begin", "BEGIN", kInTransaction);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  stack_ = 9;
  execute("open", "DECLARE CURSOR", kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("c"));
  EXPECT_EQ(described().open.back().stack, model::StackId{9});
  EXPECT_EQ(described().open.back().sql, "DECLARE c CURSOR FOR SELECT $1");
  execute("shut", "CLOSE CURSOR", kInTransaction);
  EXPECT_THAT(cursors(), IsEmpty());
  execute("open", "DECLARE CURSOR", kInTransaction);
  execute("end", "COMMIT", kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionStatements, ExecuteOfAnUnknownOneActsByItsTag) {
  begin();
  declare("c");
  execute("unseen", "COMMIT", kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
  execute("unseen", "PREPARE", kIdle);
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionStatements, SqlExecuteAndDescribeHoldNothing) {
  query("PREPARE p AS SELECT 1", {"PREPARE"});
  query("EXECUTE p", {"SELECT 1"});
  send(CommandKind::describe, "p", "");
  ok();
  done();
  EXPECT_THAT(statements(), ElementsAre("p"));
  EXPECT_EQ(losses(), SessionLosses{});
}

}  // namespace
}  // namespace leaktrace::postgres
