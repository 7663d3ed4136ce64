// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

/// Which result is of which command and statement.
class SessionQueue : public SessionFixture {};

TEST_F(SessionQueue, CommandsThatWereNotReportedTakeTheirPlace) {
  pipeline_ = true;
  send(CommandKind::prepare, "a", "SELECT 1", 0);
  send(CommandKind::prepare, "b", "SELECT 1", 3);  // two SELECTs before it
  ok();
  done();
  EXPECT_THAT(statements(), ElementsAre("a"));
  for (int i = 0; i < 2; ++i) {
    result(ResultStatus::tuples_ok, "SELECT 1");
    done();
  }
  EXPECT_THAT(statements(), ElementsAre("a"));
  ok();
  done();
  EXPECT_THAT(statements(), ElementsAre("a", "b"));
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionQueue, CommandsWhoseResultsWereMissedAreDropped) {
  send(CommandKind::prepare, "a", "SELECT 1", 0);
  send(CommandKind::describe, "a", "", 1);
  send(CommandKind::prepare, "b", "SELECT 1", 0);
  EXPECT_EQ(losses().undecided, 1U);
  ok();
  done();
  EXPECT_THAT(statements(), ElementsAre("b"));
}

TEST_F(SessionQueue, AWithdrawnCommandIsTheNewest) {
  pipeline_ = true;
  send(CommandKind::prepare, "a", "SELECT 1", 0);
  send(CommandKind::prepare, "b", "SELECT 1", 1);
  simple(EventType::withdrawn);
  send(CommandKind::prepare, "c", "SELECT 1", 1);
  for (int i = 0; i < 2; ++i) {
    ok();
    done();
  }
  EXPECT_THAT(statements(), ElementsAre("a", "c"));
  EXPECT_EQ(losses(), SessionLosses{});
  simple(EventType::withdrawn);  // of none
}

TEST_F(SessionQueue, LostEventsEmptyTheQueueAndKeepWhatIsOpen) {
  query("PREPARE a AS SELECT 1", {"PREPARE"});
  send(CommandKind::prepare, "b", "SELECT 1", 0);
  send(CommandKind::prepare, "c", "SELECT 1", 1);
  Event event = make(EventType::done);
  event.lost = true;
  event.transaction = kIdle;
  apply(event);
  EXPECT_EQ(losses().undecided, 1U);
  EXPECT_THAT(statements(), ElementsAre("a"));
  EXPECT_EQ(described().state, model::ConnectionState::idle);
}

// ---- Times in which nobody looked

class Unobserved : public SessionFixture {
 protected:
  void begin_with(CommandKind kind, std::string_view text, TransactionStatus before) {
    Event event = make(EventType::command);
    event.command = kind;
    event.text = text;
    event.unobserved = true;
    event.transaction = before;
    apply(event);
  }
};

TEST_F(Unobserved, ATransactionThatIsOverHasEndedItsCursors) {
  query("BEGIN", {"BEGIN"}, kInTransaction);
  query("DECLARE a CURSOR FOR SELECT 1", {"DECLARE CURSOR"}, kInTransaction);
  query("PREPARE b AS SELECT 1", {"PREPARE"}, kInTransaction);
  begin_with(CommandKind::query, "LISTEN c", kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_THAT(statements(), ElementsAre("b"));
}

TEST_F(Unobserved, ATransactionThatIsOpenMayBeTheSame) {
  query("BEGIN", {"BEGIN"}, kInTransaction);
  query("SAVEPOINT s", {"SAVEPOINT"}, kInTransaction);
  query("DECLARE a CURSOR FOR SELECT 1", {"DECLARE CURSOR"}, kInTransaction);
  begin_with(CommandKind::query, "ROLLBACK TO s", kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  ok("ROLLBACK");
  EXPECT_THAT(cursors(), ElementsAre("a"));  // which savepoint that was is not known
  EXPECT_EQ(losses().undecided, 1U);
  done(kInTransaction);
  query("COMMIT", {"COMMIT"}, kIdle);
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(Unobserved, WhatWasWaitedForIsForgottenWithoutALoss) {
  send(CommandKind::prepare, "a", "SELECT 1");
  begin_with(CommandKind::query, "PREPARE b AS SELECT 1", kIdle);
  ok("PREPARE");
  done();
  EXPECT_THAT(statements(), ElementsAre("b"));
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(Unobserved, ATransactionThatTheFirstQuietCommandTellsOf) {
  query("BEGIN", {"BEGIN"}, kInTransaction);
  query("DECLARE a CURSOR FOR SELECT 1", {"DECLARE CURSOR"}, kInTransaction);
  Event event = make(EventType::done);
  event.unobserved = true;
  event.transaction = kIdle;
  apply(event);
  EXPECT_THAT(cursors(), IsEmpty());
}

TEST_F(SessionQueue, EachStatementHasItsResult) {
  query("BEGIN; SELECT 1; DECLARE a CURSOR FOR SELECT 1; CLOSE a; DECLARE b CURSOR FOR SELECT 1",
        {"BEGIN", "SELECT 1", "DECLARE CURSOR", "CLOSE CURSOR", "DECLARE CURSOR"}, kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("b"));
  EXPECT_EQ(described().open[0].sql, "DECLARE b CURSOR FOR SELECT $1");
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionQueue, RowsAndNoticesCompleteNoStatement) {
  send(CommandKind::query, "", "SELECT 1; PREPARE a AS SELECT 1");
  result(ResultStatus::single_tuple);
  result(ResultStatus::tuples_chunk);
  result(ResultStatus::nonfatal_error);
  result(ResultStatus::tuples_ok, "SELECT 2");
  ok("PREPARE");
  done();
  EXPECT_THAT(statements(), ElementsAre("a"));
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionQueue, AnEmptyTextHasOneResult) {
  send(CommandKind::query, "", "-- COMMIT");
  result(ResultStatus::empty_query);
  done();
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionQueue, TheTagWinsOverTheText) {
  begin();
  declare("a");
  // Were it rewritten by something between, say.
  query("SELECT 1; BEGIN", {"COMMIT"});
  EXPECT_THAT(cursors(), IsEmpty());
  begin();
  declare("a");
  query("CLOSE a", {"DECLARE CURSOR"}, kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionQueue, WhatCannotBeReadIsUndecided) {
  send(CommandKind::query, "", "PREPARE a AS SELECT 1");
  result(ResultStatus::unknown);
  done();
  EXPECT_THAT(statements(), IsEmpty());
  EXPECT_EQ(losses().undecided, 1U);
  // A status that could not be read is known by the tag.
  send(CommandKind::query, "", "PREPARE a AS SELECT 1");
  result(ResultStatus::unknown, "PREPARE");
  done();
  EXPECT_THAT(statements(), ElementsAre("a"));
  send(CommandKind::prepare, "b", "SELECT 1");
  result(ResultStatus::unknown);
  done();
  EXPECT_EQ(losses().undecided, 2U);
  send(CommandKind::query, "", "SELECT 1");
  result(ResultStatus::unknown);
  done();
  EXPECT_EQ(losses().undecided, 2U);
}

TEST_F(SessionQueue, ACutTextDoesWhatIsCertainAndTheRestByTag) {
  send(CommandKind::query, "", "BEGIN; DECLARE a CURSOR FOR SELECT 'xx", 0, true);
  ok("BEGIN");
  ok("DECLARE CURSOR");
  ok("DECLARE CURSOR");  // beyond the cut
  done(kInTransaction);
  EXPECT_THAT(cursors(), ElementsAre("a"));
  EXPECT_EQ(losses().text_cut, 1U);
  EXPECT_EQ(losses().undecided, 1U);
  EXPECT_EQ(losses().unparsed, 0U);
  send(CommandKind::query, "", "SELECT 'nothing that matters", 0, true);
  result(ResultStatus::tuples_ok, "SELECT 1");
  ok("COMMIT");
  done();
  EXPECT_THAT(cursors(), IsEmpty());
  EXPECT_EQ(losses().text_cut, 2U);
}

TEST_F(SessionQueue, WhatTheGrammarRefusesIsCountedOnceTheServerTookIt) {
  query("BEGIN PRIORITY HIGH; UPSERT INTO t VALUES (1)", {"BEGIN", "INSERT 0 1"}, kInTransaction);
  EXPECT_EQ(losses().unparsed, 1U);
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  query("BEGIN nonsense", {"!"}, kFailed);
  EXPECT_EQ(losses().unparsed, 1U);
  query("UPSERT INTO t VALUES (1)", {"INSERT 0 1"}, kInTransaction);
  EXPECT_EQ(losses().unparsed, 1U);  // it cannot matter, so it was not parsed
}

TEST_F(SessionQueue, ResultsOfCommandsThatWereNotReportedGoByTheirTag) {
  begin();
  declare("a");
  ok("SELECT 1");
  ok("COMMIT");
  EXPECT_THAT(cursors(), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::postgres
