// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

class SessionCursors : public SessionFixture {};

TEST_F(SessionCursors, OpensWhenTheServerSaysSo) {
  begin();
  send(CommandKind::query, "", "DECLARE c CURSOR FOR SELECT 'secret'");
  EXPECT_THAT(cursors(), IsEmpty());
  ok("DECLARE CURSOR");
  done(kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("c"));
  EXPECT_EQ(described().open[0].sql, "DECLARE c CURSOR FOR SELECT $1");
  EXPECT_EQ(described().open[0].stack, model::StackId{7});
}

TEST_F(SessionCursors, AFailedDeclareOpensNothing) {
  begin();
  query("DECLARE c CURSOR FOR SELECT x", {"!"}, kFailed);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(described().state, model::ConnectionState::failed);
}

TEST_F(SessionCursors, CloseClosesTheOneOfTheName) {
  begin();
  declare("a");
  declare("\"B\"");
  in_transaction("CLOSE A", "CLOSE CURSOR");
  EXPECT_THAT(cursors(), ElementsAre("B"));
  in_transaction("CLOSE nothing", "CLOSE CURSOR");
  EXPECT_EQ(losses().unmatched_close, 1U);
}

TEST_F(SessionCursors, CloseAllClosesAllWithoutALoss) {
  begin();
  declare("a");
  declare("b", "WITH HOLD");
  in_transaction("CLOSE ALL", "CLOSE CURSOR ALL");
  EXPECT_THAT(cursors(), IsEmpty());
  in_transaction("CLOSE ALL", "CLOSE CURSOR ALL");
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionCursors, ClosePortalClosesTheCursorAndMayFindNone) {
  begin();
  declare("a");
  send(CommandKind::close_portal, "a", "");
  ok();
  done(kInTransaction);
  EXPECT_THAT(cursors(), IsEmpty());
  send(CommandKind::close_portal, "a", "");
  ok();
  done(kInTransaction);
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionCursors, CommitClosesThoseWithoutHold) {
  begin();
  declare("plain");
  declare("held", "WITH HOLD");
  commit();
  EXPECT_THAT(cursors(), ElementsAre("held"));
  EXPECT_EQ(described().open[0].state, "with hold");
  // From now on no transaction closes it.
  begin();
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(cursors(), ElementsAre("held"));
  query("CLOSE held", {"CLOSE CURSOR"});
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionCursors, RollbackClosesThoseWithHoldOfThatTransactionToo) {
  begin();
  declare("before", "WITH HOLD");
  commit();
  begin();
  declare("plain");
  declare("held", "WITH HOLD");
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(cursors(), ElementsAre("before"));
}

TEST_F(SessionCursors, ACloseIsNotUndone) {
  begin();
  declare("held", "WITH HOLD");
  commit();
  begin();
  savepoint("s");
  in_transaction("CLOSE held", "CLOSE CURSOR");
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionCursors, RollbackToClosesWhatWasDeclaredSince) {
  begin();
  declare("a");
  savepoint("s");
  declare("b");
  savepoint("t");
  declare("c", "WITH HOLD");
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(cursors(), ElementsAre("a"));
  // The savepoint stays; that above it is gone.
  declare("d");
  in_transaction("ROLLBACK TO SAVEPOINT s", "ROLLBACK");
  EXPECT_THAT(cursors(), ElementsAre("a"));
  EXPECT_EQ(losses(), SessionLosses{});
  in_transaction("ROLLBACK TO t", "ROLLBACK");
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionCursors, ReleaseGivesCursorsToTheLevelBelow) {
  begin();
  savepoint("s");
  declare("a");
  savepoint("t");
  declare("b");
  in_transaction("RELEASE t", "RELEASE");
  EXPECT_THAT(cursors(), ElementsAre("a", "b"));
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionCursors, OfSavepointsOfOneNameTheNewestWins) {
  begin();
  savepoint("s");
  declare("a");
  savepoint("s");
  savepoint("s");
  declare("b");
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(cursors(), ElementsAre("a"));
  in_transaction("RELEASE s", "RELEASE");
  in_transaction("RELEASE s", "RELEASE");
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionCursors, SavepointsEndWithTheTransaction) {
  begin();
  savepoint("s");
  commit();
  begin();
  declare("a");
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(cursors(), ElementsAre("a"));
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionCursors, OfANameOpenAlreadyTheOldOneWasClosedUnseen) {
  begin();
  declare("c");
  stack_ = 8;
  declare("c");
  EXPECT_THAT(cursors(), ElementsAre("c"));
  EXPECT_EQ(described().open[0].stack, model::StackId{8});
  EXPECT_EQ(counters(7, model::Kind::pg_cursor).released_count, 1U);
}

}  // namespace
}  // namespace leaktrace::postgres
