// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

class SessionTransactions : public SessionFixture {};

TEST_F(SessionTransactions, StatementsOfOneMessageAreATransaction) {
  query("DECLARE a CURSOR FOR SELECT 1; DECLARE b CURSOR WITH HOLD FOR SELECT 1",
        {"DECLARE CURSOR", "DECLARE CURSOR"});
  EXPECT_THAT(cursors(), ElementsAre("b"));
}

TEST_F(SessionTransactions, AnErrorRollsTheMessageBack) {
  query("DECLARE b CURSOR WITH HOLD FOR SELECT 1; SELECT 1/0", {"DECLARE CURSOR", "!"});
  EXPECT_THAT(cursors(), IsEmpty());
  query("DECLARE b CURSOR WITH HOLD FOR SELECT 1", {"DECLARE CURSOR"});
  EXPECT_THAT(cursors(), ElementsAre("b"));
}

TEST_F(SessionTransactions, BeginInAMessageTakesInWhatIsBeforeIt) {
  query("DECLARE a CURSOR FOR SELECT 1; BEGIN", {"DECLARE CURSOR", "BEGIN"}, kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionTransactions, CommitInAMessageEndsItsFirstPart) {
  query(
      "DECLARE a CURSOR WITH HOLD FOR SELECT 1; COMMIT; DECLARE b CURSOR WITH HOLD FOR SELECT 1; "
      "SELECT 1/0",
      {"DECLARE CURSOR", "COMMIT", "DECLARE CURSOR", "!"});
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, CommitOfAFailedTransactionRollsBack) {
  begin();
  declare("a", "WITH HOLD");
  query("SELECT 1/0", {"!"}, kFailed);
  query("COMMIT", {"ROLLBACK"});
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, ARefusedCommitRollsBack) {
  begin();
  declare("a", "WITH HOLD");
  query("COMMIT", {"!"});  // a deferred constraint
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, ARefusedCommitEndsItWhereNoStatusIsKnown) {
  begin();
  declare("a", "WITH HOLD");
  query("COMMIT", {"!"}, kUnknown);
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionTransactions, RollbackToHealsIt) {
  begin();
  savepoint("s");
  query("SELECT 1/0", {"!"}, kFailed);
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  declare("a", "WITH HOLD");
  query("COMMIT", {""});  // the tag could not be read
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, AndChainBeginsTheNext) {
  begin();
  declare("a");
  query("COMMIT AND CHAIN", {"COMMIT"}, kInTransaction);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  declare("b");
  EXPECT_THAT(cursors(), ElementsAre("b"));
}

TEST_F(SessionTransactions, PrepareTransactionEndsIt) {
  begin();
  declare("a");
  query("PREPARE TRANSACTION 'x'", {"PREPARE TRANSACTION"});
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, AnEndThatWasNotSeenIsTakenFromTheStatus) {
  begin();
  declare("a");
  declare("held", "WITH HOLD");
  done(kIdle);
  EXPECT_THAT(cursors(), ElementsAre("held"));
  EXPECT_EQ(losses().undecided, 1U);
  begin();
  done(kIdle);
  EXPECT_EQ(losses().undecided, 1U);  // nothing was open
}

TEST_F(SessionTransactions, ABeginThatWasNotSeenIsTakenFromTheStatus) {
  done(kInTransaction);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  EXPECT_NE(described().transaction_since_ns, 0U);
  declare("a");
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, WithoutAStatusItTrustsItsOwnBooks) {
  query("BEGIN", {"BEGIN"}, kUnknown);
  query("DECLARE a CURSOR FOR SELECT 1", {"DECLARE CURSOR"}, kUnknown);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  query("COMMIT", {"COMMIT"}, kUnknown);
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionTransactions, ACursorAloneProvesATransactionThatBeganBeforeTheTrace) {
  from_start_ = false;
  query("DECLARE a CURSOR FOR SELECT 1", {"DECLARE CURSOR"}, kUnknown);
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, APipelineIsATransactionUntilItsSync) {
  pipeline_ = true;
  send(CommandKind::parameters, "", "DECLARE a CURSOR FOR SELECT 1", 0);
  send(CommandKind::parameters, "", "DECLARE h CURSOR WITH HOLD FOR SELECT 1", 1);
  send(CommandKind::sync, "", "", 2);
  ok("DECLARE CURSOR");
  done();
  EXPECT_THAT(cursors(), ElementsAre("a"));
  ok("DECLARE CURSOR");
  done();
  EXPECT_THAT(cursors(), ElementsAre("a", "h"));
  sync(kIdle);  // which has no end of its own
  EXPECT_THAT(cursors(), ElementsAre("h"));
}

TEST_F(SessionTransactions, AnErrorAbortsAPipeline) {
  pipeline_ = true;
  send(CommandKind::parameters, "", "DECLARE h CURSOR WITH HOLD FOR SELECT 1", 0);
  send(CommandKind::parameters, "", "SELECT 1/0", 1);
  send(CommandKind::parameters, "", "DECLARE i CURSOR WITH HOLD FOR SELECT 1", 2);
  send(CommandKind::sync, "", "", 3);
  ok("DECLARE CURSOR");
  done();
  error();
  done();
  result(ResultStatus::pipeline_aborted);
  done();
  sync(kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, AnUnannouncedRollbackWaitsForTheStatus) {
  begin();
  declare("a", "WITH HOLD");
  unannounced("ROLLBACK", kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  EXPECT_EQ(losses().undecided, 1U);
  unannounced("ROLLBACK", kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionTransactions, UnannouncedResultsActByTheirTag) {
  unannounced("BEGIN", kInTransaction);
  declare("a");
  declare("b");
  unannounced("CLOSE CURSOR ALL", kInTransaction);
  EXPECT_THAT(cursors(), IsEmpty());
  declare("a");
  unannounced("COMMIT");
  EXPECT_THAT(cursors(), IsEmpty());
  query("PREPARE p AS SELECT 1", {"PREPARE"});
  unannounced("DEALLOCATE ALL");
  EXPECT_THAT(statements(), IsEmpty());
  query("PREPARE p AS SELECT 1", {"PREPARE"});
  unannounced("DISCARD ALL");
  EXPECT_THAT(statements(), IsEmpty());
  unannounced("SELECT 5");
  unannounced("SAVEPOINT");
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, UnannouncedResultsThatNeedANameAreUndecided) {
  for (const char* tag : {"DECLARE CURSOR", "CLOSE CURSOR", "PREPARE", "DEALLOCATE"}) {
    unannounced(tag);
  }
  EXPECT_EQ(losses().undecided, 4U);
  begin();
  declare("a");
  unannounced("SAVEPOINT", kInTransaction);
  unannounced("RELEASE", kInTransaction);
  EXPECT_EQ(losses().undecided, 6U);
}

TEST_F(SessionTransactions, AnErrorOutsideDoesNotSpoilTheNext) {
  unannounced_ = true;
  error();  // of a SELECT; its end was not reported
  unannounced_ = false;
  query("DECLARE h CURSOR WITH HOLD FOR SELECT 1", {"DECLARE CURSOR"});
  EXPECT_THAT(cursors(), ElementsAre("h"));
}

TEST_F(SessionTransactions, TheStatusSaysThatItHasFailed) {
  begin();
  done(kFailed);  // the error was not seen
  EXPECT_EQ(described().state, model::ConnectionState::failed);
  done(kInTransaction);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
}

TEST_F(SessionTransactions, RollbackToHealsItWithoutAStatusToo) {
  begin();
  savepoint("s");
  query("SELECT 1/0", {"!"}, kUnknown);
  EXPECT_EQ(described().state, model::ConnectionState::failed);
  query("ROLLBACK TO s", {"ROLLBACK"}, kUnknown);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
}

TEST_F(SessionTransactions, ASyncIsDoneWithItsResult) {
  pipeline_ = true;
  send(CommandKind::sync, "", "", 0);
  send(CommandKind::prepare, "a", "SELECT 1", 1);
  sync(kIdle);
  ok();
  EXPECT_THAT(statements(), ElementsAre("a"));
}

TEST_F(SessionTransactions, ASyntaxErrorWithCommitInItLeavesTheTransactionOpen) {
  begin();
  declare("a");
  query("COMMIT nonsense", {"!"}, kFailed);
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, NorDoesItWhereNoStatusIsKnown) {
  begin();
  declare("a");
  query("COMMIT nonsense", {"!"}, kUnknown);
  EXPECT_THAT(cursors(), ElementsAre("a"));
}

TEST_F(SessionTransactions, ABeginAfterADoubtfulRollbackShowsThatItEndedAll) {
  begin();
  declare("a");
  unannounced_ = true;
  ok("ROLLBACK");
  ok("BEGIN");
  done(kInTransaction);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionTransactions, SavepointAndDiscardAllTellWithoutAStatus) {
  query("SAVEPOINT s", {"SAVEPOINT"}, kUnknown);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  query("DISCARD ALL", {"DISCARD ALL"}, kUnknown);
  EXPECT_EQ(described().state, model::ConnectionState::idle);
}

TEST_F(SessionTransactions, AfterLostEventsADoubtfulRollbackIsForgotten) {
  begin();
  declare("held", "WITH HOLD");
  unannounced_ = true;
  ok("ROLLBACK");
  Event event = make(EventType::done);
  event.lost = true;
  event.transaction = kIdle;
  apply(event);
  EXPECT_THAT(cursors(), ElementsAre("held"));
  EXPECT_EQ(losses().undecided, 2U);
}

}  // namespace
}  // namespace leaktrace::postgres
