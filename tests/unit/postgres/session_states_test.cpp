// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

/// What a connection is in until it is left, large objects, and its own beginning and end.
class SessionStates : public SessionFixture {
 protected:
  void row_mode(const char* name) {
    Event event = make(EventType::row_mode);
    event.name = name;
    event.stack = {stack_};
    apply(event);
  }
  void large_object(EventType type, std::int64_t descriptor) {
    Event event = make(type);
    event.value = descriptor;
    event.stack = {stack_};
    apply(event);
  }
  [[nodiscard]] std::vector<std::string> large_objects() const {
    return names(model::Kind::pg_large_object);
  }
};

TEST_F(SessionStates, ACopyIsOpenUntilTheNextResult) {
  send(CommandKind::query, "", "COPY t FROM STDIN; COPY t TO STDOUT");
  result(ResultStatus::copy_in);
  result(ResultStatus::copy_in);  // PQgetResult says so again and again
  EXPECT_THAT(states(), ElementsAre("copy in"));
  EXPECT_EQ(described().open[0].sql, "COPY t FROM STDIN");
  ok("COPY 3");
  EXPECT_THAT(states(), IsEmpty());
  result(ResultStatus::copy_out);
  EXPECT_THAT(states(), ElementsAre("copy out"));
  EXPECT_EQ(described().open[0].sql, "COPY t TO STDOUT");
  error();
  EXPECT_THAT(states(), IsEmpty());
  done();
  send(CommandKind::query, "", "START_REPLICATION; COPY");
  result(ResultStatus::copy_both);
  EXPECT_THAT(states(), ElementsAre("copy both"));
  done();
  EXPECT_THAT(states(), IsEmpty());
  EXPECT_EQ(counters(7, model::Kind::pg_copy).acquired_count, 3U);
  EXPECT_EQ(losses(), SessionLosses{});
}

TEST_F(SessionStates, ACopyOfNoKnownCommandIsUndecided) {
  unannounced_ = true;
  result(ResultStatus::copy_in);
  EXPECT_THAT(states(), IsEmpty());
  EXPECT_EQ(losses().undecided, 1U);
}

TEST_F(SessionStates, APipelineIsOpenUntilItIsLeft) {
  Event event = make(EventType::pipeline_entered);
  event.stack = {3};
  apply(event);
  apply(event);
  EXPECT_THAT(states(), ElementsAre("pipeline"));
  EXPECT_EQ(described().open[0].stack, model::StackId{3});
  simple(EventType::pipeline_left);
  simple(EventType::pipeline_left);
  EXPECT_THAT(states(), IsEmpty());
  EXPECT_EQ(counters(3, model::Kind::pg_copy).released_count, 1U);
}

TEST_F(SessionStates, RowModeEndsWithItsCommand) {
  send(CommandKind::query, "", "SELECT 1; COMMIT");
  row_mode("single");
  row_mode("single");
  EXPECT_THAT(states(), ElementsAre("single rows"));
  result(ResultStatus::tuples_ok, "SELECT 3");
  EXPECT_THAT(states(), ElementsAre("single rows"));
  done();
  EXPECT_THAT(states(), IsEmpty());
  row_mode("chunked");  // of a SELECT, which is not reported
  EXPECT_THAT(states(), ElementsAre("chunked rows"));
  EXPECT_EQ(described().state, model::ConnectionState::active);
  done();
  EXPECT_THAT(states(), IsEmpty());
  EXPECT_EQ(described().state, model::ConnectionState::idle);
}

TEST_F(SessionStates, RowModeIsOfTheNewestOfThoseThatWait) {
  pipeline_ = true;
  send(CommandKind::prepare, "a", "SELECT 1", 0);
  Event event = make(EventType::row_mode);
  event.name = "single";
  event.ahead = 2;
  apply(event);
  ok();
  done();
  EXPECT_THAT(states(), ElementsAre("single rows"));
  done();
  EXPECT_THAT(states(), ElementsAre("single rows"));
  done();
  EXPECT_THAT(states(), IsEmpty());
  row_mode("single");
  simple(EventType::withdrawn);
  EXPECT_THAT(states(), IsEmpty());
}

TEST_F(SessionStates, ALargeObjectIsOpenUntilTheTransactionEnds) {
  begin();
  large_object(EventType::large_object_opened, 0);
  savepoint("s");
  large_object(EventType::large_object_opened, 1);
  large_object(EventType::large_object_opened, 2);
  EXPECT_THAT(large_objects(), ElementsAre("0", "1", "2"));
  large_object(EventType::large_object_closed, 1);
  EXPECT_THAT(large_objects(), ElementsAre("0", "2"));
  in_transaction("ROLLBACK TO s", "ROLLBACK");
  EXPECT_THAT(large_objects(), ElementsAre("0"));
  commit();
  EXPECT_THAT(large_objects(), IsEmpty());
  begin();
  large_object(EventType::large_object_opened, 0);
  query("ROLLBACK", {"ROLLBACK"});
  EXPECT_THAT(large_objects(), IsEmpty());
  EXPECT_EQ(losses(), SessionLosses{});
  large_object(EventType::large_object_closed, 5);
  EXPECT_EQ(losses().unmatched_close, 1U);
}

TEST_F(SessionStates, ALargeObjectOutsideOfATransactionIsClosedAtOnce) {
  large_object(EventType::large_object_opened, 0);
  EXPECT_THAT(large_objects(), IsEmpty());
  const auto counted = counters(7, model::Kind::pg_large_object);
  EXPECT_EQ(counted.acquired_count, 1U);
  EXPECT_EQ(counted.released_count, 1U);
}

TEST_F(SessionStates, ALargeObjectIsKeptWhereATransactionMayBeOpen) {
  from_start_ = false;
  large_object(EventType::large_object_opened, 0);
  EXPECT_THAT(large_objects(), ElementsAre("0"));
  EXPECT_EQ(described().state, model::ConnectionState::unknown);
  done(kInTransaction);
  EXPECT_THAT(large_objects(), ElementsAre("0"));
  done(kIdle);
  EXPECT_THAT(large_objects(), IsEmpty());
}

TEST_F(SessionStates, ResetAndFinishReleaseAll) {
  connect();
  query("PREPARE a AS SELECT 1", {"PREPARE"});
  begin();
  declare("c");
  simple(EventType::reset);
  EXPECT_EQ(described().open_count, 0U);
  EXPECT_EQ(described().state, model::ConnectionState::idle);
  EXPECT_EQ(described().database, "shop");
  query("PREPARE a AS SELECT 1", {"PREPARE"});
  simple(EventType::finished);
  EXPECT_EQ(sessions_.connections(now_, 10).count, 0U);
  const auto counted = counters(7, model::Kind::pg_statement);
  EXPECT_EQ(counted.acquired_count, 2U);
  EXPECT_EQ(counted.released_count, 2U);
  simple(EventType::finished);  // of one that is not known
  EXPECT_EQ(sessions_.connections(now_, 10).count, 0U);
}

TEST_F(SessionStates, ABrokenConnectionHoldsNothing) {
  begin();
  declare("c");
  send(CommandKind::prepare, "a", "SELECT 1");
  Event event = make(EventType::done);
  event.broken = true;
  apply(event);
  EXPECT_EQ(described().open_count, 0U);
  EXPECT_EQ(described().state, model::ConnectionState::broken);
  simple(EventType::reset);
  EXPECT_EQ(described().state, model::ConnectionState::idle);
}

TEST_F(SessionStates, ANewConnectionAtAKnownHandleClosesTheOldOne) {
  connect(true);
  query("PREPARE a AS SELECT 1", {"PREPARE"});
  connect();  // where it leads is told again
  EXPECT_THAT(statements(), ElementsAre("a"));
  connect(true);
  EXPECT_THAT(statements(), IsEmpty());
  EXPECT_EQ(described().since_ns, now_);
}

TEST_F(SessionStates, AConnectionIsDescribed) {
  connect();
  EXPECT_EQ(model::connection_words(described()), "app@db:5432/shop");
  EXPECT_EQ(described().since_ns, 1U);
  EXPECT_TRUE(described().from_start);
  const std::uint64_t before = now_;
  begin();
  EXPECT_EQ(described().state, model::ConnectionState::in_transaction);
  EXPECT_GT(described().transaction_since_ns, before);
  EXPECT_EQ(described().state_since_ns, now_);
  commit();
  EXPECT_EQ(described().transaction_since_ns, 0U);
  send(CommandKind::query, "", "BEGIN");
  EXPECT_EQ(described().state, model::ConnectionState::active);
}

}  // namespace
}  // namespace leaktrace::postgres
