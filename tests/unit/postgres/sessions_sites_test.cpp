// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/postgres/session_fixture.h"

namespace leaktrace::postgres {
namespace {

class SessionsSites : public SessionFixture {
 protected:
  void prepare(const std::string& name, const std::string& sql = "SELECT 1") {
    send(CommandKind::prepare, name, sql);
    ok();
    done();
  }
  [[nodiscard]] model::SiteDetail detail(model::Kind kind) {
    for (auto& each : sessions_.take_changed_details()) {
      if (each.site == model::SiteKey{{stack_}, image_, kind}) return each;
    }
    return {};
  }
};

TEST_F(SessionsSites, CountersAreGivenWhenTheyChange) {
  prepare("a");
  const std::uint64_t first = now_ - 1;
  prepare("b");
  auto sites = sessions_.take_changed_sites();
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].site, (model::SiteKey{{7}, image_, model::Kind::pg_statement}));
  EXPECT_EQ(sites[0].counters.acquired_count, 2U);
  EXPECT_EQ(sites[0].counters.acquired_bytes, 0U);
  EXPECT_EQ(sites[0].counters.since_ns, first);
  EXPECT_TRUE(sessions_.take_changed_sites().empty());
  query("DEALLOCATE a", {"DEALLOCATE"});
  sites = sessions_.take_changed_sites();
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].counters.released_count, 1U);
  EXPECT_GT(sites[0].counters.since_ns, first);
}

TEST_F(SessionsSites, DetailsTellOfTheOldestAndListNames) {
  connect();
  prepare("a", "SELECT 'first'");
  for (int i = 0; i < 20; ++i) prepare("n" + std::to_string(i), "SELECT a");
  handle_ = 2;
  prepare("z");
  auto found = detail(model::Kind::pg_statement);
  EXPECT_EQ(found.sql, "SELECT $1");
  EXPECT_EQ(found.connection, "app@db:5432/shop");
  EXPECT_EQ(found.connections, 2U);
  EXPECT_EQ(found.names.size(), 10U);
  EXPECT_EQ(found.names[0], "a");
  EXPECT_EQ(found.names[1], "n0");
  EXPECT_TRUE(sessions_.take_changed_details().empty());
  query("DEALLOCATE ALL", {"DEALLOCATE ALL"});
  handle_ = kHandle;
  query("DEALLOCATE ALL", {"DEALLOCATE ALL"});
  found = detail(model::Kind::pg_statement);
  EXPECT_EQ(found.connections, 0U);
  EXPECT_TRUE(found.names.empty());
  EXPECT_FALSE(found.sql.empty());  // what it was about is still told
}

TEST_F(SessionsSites, TheStateOfAPipelineIsTold) {
  Event event = make(EventType::pipeline_entered);
  event.stack = {stack_};
  apply(event);
  EXPECT_EQ(detail(model::Kind::pg_copy).state, "pipeline");
}

TEST_F(SessionsSites, RawSqlKeepsLiterals) {
  sessions_ = Sessions(SessionOptions{.raw_sql = true});
  prepare("a", "SELECT 'literal'");
  EXPECT_EQ(detail(model::Kind::pg_statement).sql, "SELECT 'literal'");
}

TEST_F(SessionsSites, NamesAreShownAsUtf8) {
  prepare("caf\xe9");
  EXPECT_EQ(detail(model::Kind::pg_statement).names[0], "caf\xef\xbf\xbd");
  EXPECT_EQ(statements()[0], "caf\xef\xbf\xbd");
}

TEST_F(SessionsSites, ExamplesTellWhatResultsAreOf) {
  connect();
  Event event = make(EventType::example);
  event.stack = {stack_};
  event.text = "SELECT 'secret' FROM t";
  apply(event);
  EXPECT_TRUE(sessions_.stacks_in_use().contains({stack_}));
  const auto found = detail(model::Kind::pg_result);
  EXPECT_EQ(found.sql, "SELECT $1 FROM t");
  EXPECT_EQ(found.connection, "app@db:5432/shop");
  event.text = "SELECT other";
  apply(event);
  EXPECT_TRUE(sessions_.take_changed_details().empty());
  EXPECT_EQ(sessions_.site_count(), 0U);
  EXPECT_FALSE(sessions_.stacks_in_use().contains({stack_}));
}

TEST_F(SessionsSites, AnExampleMayBeOfAPreparedStatement) {
  prepare("find", "SELECT 'secret' FROM t");
  Event event = make(EventType::example);
  event.stack = {stack_};
  event.name = "find";
  apply(event);
  EXPECT_EQ(detail(model::Kind::pg_result).sql, "SELECT $1 FROM t");
}

TEST_F(SessionsSites, AConnectionsCallSiteTellsWhereItLeads) {
  Event event = make(EventType::connected);
  event.stack = {stack_};
  event.database = "shop";
  event.user = "app";
  apply(event);
  EXPECT_EQ(detail(model::Kind::pg_connection).connection, "app@localhost/shop");
}

TEST_F(SessionsSites, BlocksAreWhatIsOpen) {
  prepare("a");
  prepare("b");
  std::vector<model::Block> blocks;
  sessions_.append_blocks(blocks);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_NE(blocks[0].handle, blocks[1].handle);
  EXPECT_EQ(blocks[0].site.kind, model::Kind::pg_statement);
  EXPECT_EQ(blocks[0].size, 0U);
  EXPECT_LT(blocks[0].acquired_ns, blocks[1].acquired_ns);
}

TEST_F(SessionsSites, ConnectionsAreSortedByWhatTheyHold) {
  for (const std::uint64_t handle : {10U, 11U, 12U}) {
    handle_ = handle;
    connect();
  }
  handle_ = 11;
  prepare("a");
  const auto connections = sessions_.connections(99, 2);
  EXPECT_EQ(connections.at_ns, 99U);
  EXPECT_EQ(connections.count, 3U);
  ASSERT_EQ(connections.connections.size(), 2U);
  EXPECT_EQ(connections.connections[0].handle, 11U);
  EXPECT_EQ(connections.connections[0].open_count, 1U);
  EXPECT_EQ(connections.connections[1].handle, 10U);
}

TEST_F(SessionsSites, AConnectionListsABoundedNumber) {
  for (int i = 0; i < 150; ++i) prepare("n" + std::to_string(i));
  EXPECT_EQ(described().open_count, 150U);
  EXPECT_EQ(described().open.size(), model::kMostOpenListed);
  EXPECT_EQ(described().open[0].name, "n0");
}

TEST_F(SessionsSites, AnImageThatExitedKeepsWhatWasOpen) {
  prepare("a");
  sessions_.image_ended(image_, true);
  prepare("late");
  simple(EventType::finished);
  EXPECT_THAT(statements(), ElementsAre("a"));
  EXPECT_EQ(counters(7, model::Kind::pg_statement).outstanding_count(), 1U);
}

TEST_F(SessionsSites, AnImageThatWasReplacedIsForgotten) {
  prepare("a");
  image_ = {2};
  prepare("b");
  sessions_.image_ended({1}, false);
  EXPECT_EQ(sessions_.site_count(), 1U);
  EXPECT_EQ(sessions_.connections(now_, 10).count, 1U);
  std::vector<model::Block> blocks;
  sessions_.append_blocks(blocks);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(blocks[0].site.image, model::ImageId{2});
}

TEST_F(SessionsSites, StacksInUseAreNotForgotten) {
  prepare("a");
  stack_ = 8;
  prepare("b");
  query("DEALLOCATE b", {"DEALLOCATE"});
  stack_ = 9;
  send(CommandKind::prepare, "c", "SELECT 1");
  EXPECT_EQ(sessions_.stacks_in_use(), (std::unordered_set<model::StackId>{{7}, {8}, {9}}));
  (void)sessions_.take_changed_sites();
  (void)sessions_.take_changed_details();
  EXPECT_EQ(sessions_.stacks_in_use(), (std::unordered_set<model::StackId>{{7}, {9}}));
  const std::vector<model::StackId> unused = {{8}};
  sessions_.forget(unused);
  EXPECT_EQ(sessions_.site_count(), 1U);
  // It comes back, and counts from 0.
  ok();
  done();
  stack_ = 8;
  prepare("d");
  EXPECT_EQ(counters(8, model::Kind::pg_statement).acquired_count, 1U);
}

TEST_F(SessionsSites, ResourcesAreBounded) {
  sessions_ = Sessions(SessionOptions{.max_resources = 2});
  for (const char* name : {"a", "b", "c"}) prepare(name);
  EXPECT_THAT(statements(), ElementsAre("a", "b"));
  EXPECT_EQ(losses().table_full, 1U);
  EXPECT_EQ(counters(7, model::Kind::pg_statement).acquired_count, 2U);
  query("DEALLOCATE c", {"DEALLOCATE"});
  EXPECT_EQ(losses().unmatched_close, 0U);
  query("DEALLOCATE a", {"DEALLOCATE"});
  prepare("d");
  EXPECT_THAT(statements(), ElementsAre("b", "d"));
}

TEST_F(SessionsSites, SitesAreBounded) {
  sessions_ = Sessions(SessionOptions{.max_sites = 1});
  prepare("a");
  stack_ = 8;
  prepare("b");
  EXPECT_THAT(statements(), ElementsAre("a"));
  EXPECT_EQ(losses().table_full, 1U);
  EXPECT_EQ(sessions_.site_count(), 1U);
}

TEST_F(SessionsSites, ConnectionsAreBoundedAndTheDeadGiveWay) {
  sessions_ = Sessions(SessionOptions{.max_connections = 2});
  connect();
  image_ = {2};
  connect();
  prepare("a");
  image_ = {3};
  connect();
  EXPECT_EQ(losses().table_full, 1U);
  EXPECT_EQ(sessions_.connections(now_, 10).count, 2U);
  sessions_.image_ended({1}, true);
  sessions_.image_ended({2}, true);
  connect();
  EXPECT_EQ(losses().table_full, 1U);
  prepare("b");
  const auto left = sessions_.connections(now_, 10);
  ASSERT_EQ(left.count, 2U);
  EXPECT_EQ(left.connections[0].image, model::ImageId{2});  // it exited holding something
  EXPECT_EQ(left.connections[1].image, model::ImageId{3});
}

}  // namespace
}  // namespace leaktrace::postgres
