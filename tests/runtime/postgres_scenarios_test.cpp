// SPDX-License-Identifier: Apache-2.0
//
// A client acquires and releases what libpq gives, one scenario a run, and says what it holds and
// what its sessions have open at the server. leaktrace must say the same.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <sstream>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kScenarios[] = {
    "connections_made",
    "connections_finished",
    "connections_failed",
    "connections_reset",
    "connections_ended_by_server",
    "connections_of_threads",
    "results_kept",
    "results_cleared",
    "results_outlive_connection",
    "results_of_strings",
    "results_polled",
    "statements_kept",
    "statements_unnamed",
    "statements_over_transactions",
    "statements_released",
    "statements_failed",
    "cursors_declared",
    "cursors_held",
    "cursors_closed",
    "cursors_failed",
    "cursors_commit",
    "cursors_rollback",
    "cursors_commit_of_failed",
    "cursors_commit_fails",
    "cursors_prepared_ends",
    "cursors_prepare_transaction",
    "savepoint_rolled_back",
    "savepoint_released",
    "savepoint_hidden",
    "savepoint_after_error",
    "cursors_of_strings",
    "cursors_named_oddly",
    "cursors_with_backslashes",
    "cursors_of_long_text",
    "copy_kept",
    "copy_ended",
    "rows_kept",
    "rows_drained",
    "pipeline_modes",
    "pipeline_opens",
    "pipeline_aborted",
    "buffers_kept",
    "buffers_given_back",
    "buffers_freed",
    "buffers_refused",
    "cancels",
    "conninfos",
    "large_objects_kept",
    "large_objects_ended",
    "large_objects_and_savepoints",
    "text_not_utf8",
    "text_of_mebibyte",
    "text_empty_or_null",
    "secrets",
    "handle_used_again",
};

/// Those that other tests run: what is lost is their subject, or they never end.
constexpr const char* kElsewhere[] = {"cursors_behind_the_cut", "many_connections",
                                      "works_until_killed"};

/// The losses that a scenario is meant to have.
std::map<std::string, std::uint64_t> unexpected_losses(const Report& report,
                                                       const std::string& scenario) {
  auto losses = harmful_losses(report);
  const bool is_long = scenario == "cursors_of_long_text" || scenario == "text_of_mebibyte";
  if (is_long) losses.erase("pg_text_cut");
  return losses;
}

class Scenarios : public PostgresTest, public testing::WithParamInterface<const char*> {};

TEST_P(Scenarios, HoldWhatTheySay) {
  const TracedRun traced = run_traced(client("pg_scenarios", {GetParam()}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_held(report, traced.outcome.out);
  EXPECT_THAT(unexpected_losses(report, GetParam()), IsEmpty());
}

class AttachedScenarios : public Scenarios {};

TEST_P(AttachedScenarios, HoldWhatTheySay) {
  Process target(client("pg_scenarios", {GetParam(), "--wait", "--linger"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  // Each free() of a running program is seen only where that is asked for.
  const bool frees = std::string(GetParam()) == "buffers_freed";
  Attached attached({target.pid()},
                    frees ? exactly({"--kinds", "pg"})
                          : std::vector<std::string>{"--kinds", "pg", "--budget", "off"});
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done")) << target.err();
  const Report report = attached.stop();
  expect_held(report, target.out());
  expect_sessions(report, target.out());
  EXPECT_THAT(unexpected_losses(report, GetParam()), IsEmpty());
  target.signal(SIGTERM);
  EXPECT_EQ(target.wait().status, 0) << target.err();
}

INSTANTIATE_TEST_SUITE_P(Each, Scenarios, testing::ValuesIn(kScenarios),
                         [](const auto& each) { return std::string(each.param); });
/// One of each kind: what differs is only how tracing begins.
INSTANTIATE_TEST_SUITE_P(Some, AttachedScenarios,
                         testing::Values("connections_made", "connections_ended_by_server",
                                         "connections_of_threads", "results_kept", "results_polled",
                                         "statements_kept", "cursors_held", "cursors_of_strings",
                                         "savepoint_rolled_back", "copy_kept", "rows_kept",
                                         "pipeline_aborted", "buffers_freed", "large_objects_kept"),
                         [](const auto& each) { return std::string(each.param); });

/// How probes are attached makes no difference; on older kernels there are no others.
class ProbeModes : public PostgresTest,
                   public testing::WithParamInterface<std::tuple<const char*, const char*>> {};

TEST_P(ProbeModes, SeeTheSame) {
  const auto [mode, scenario] = GetParam();
  const TracedRun traced =
      run_traced(client("pg_scenarios", {scenario}), {"--kinds", "pg", "--probe-mode", mode});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_held(report, traced.outcome.out);
  EXPECT_THAT(unexpected_losses(report, scenario), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, ProbeModes,
                         testing::Combine(testing::Values("single", "multi"),
                                          testing::Values("results_polled", "cursors_held",
                                                          "statements_released", "pipeline_aborted",
                                                          "copy_ended")),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param)) + "_" +
                                  std::get<1>(each.param);
                         });

class ScenariosToo : public PostgresTest {
 protected:
  /// The report of a scenario, taken while it still holds everything.
  Report attached_to(const std::string& scenario, std::vector<std::string> options = {}) {
    Process target(client("pg_scenarios", {scenario, "--wait", "--linger"}));
    EXPECT_TRUE(target.wait_for_line("ready"));
    options.insert(options.end(), {"--kinds", "pg", "--budget", "off"});
    Attached attached({target.pid()}, options);
    target.signal(SIGUSR1);
    EXPECT_TRUE(target.wait_for_line("done")) << target.err();
    return attached.stop();
  }

  static std::string where() { return "postgres@" + server().host() + ":5432/postgres"; }
};

TEST_F(ScenariosToo, AreAllTested) {
  const Outcome list = run_command({testprog("postgres/pg_scenarios"), "--list"});
  std::istringstream names(list.out);
  for (std::string name; std::getline(names, name);) {
    const auto is_it = [&](const char* known) { return name == known; };
    EXPECT_TRUE(std::ranges::any_of(kScenarios, is_it) || std::ranges::any_of(kElsewhere, is_it))
        << name;
  }
}

TEST_F(ScenariosToo, CursorsHaveNamesAndSql) {
  const Report report = attached_to("cursors_held");
  const auto sites = sites_holding(report, "pg.cursor");
  ASSERT_FALSE(sites.empty());
  std::multiset<std::string> names;
  for (const auto& site : sites) {
    const auto& detail = site.at("detail");
    EXPECT_THAT(detail.at("sql").get<std::string>(), HasSubstr("CURSOR WITH HOLD FOR SELECT"));
    EXPECT_THAT(detail.at("connection").get<std::string>(), HasSubstr(where()));
    for (const auto& name : detail.at("names")) names.insert(name.get<std::string>());
    EXPECT_GE(site.at("oldest_seconds"), 0.0);
    EXPECT_LT(site.at("oldest_seconds"), 60.0);
  }
  for (const char* name : {"h1", "h2", "h3", "h4", "h5", "h6"}) {
    EXPECT_GE(names.count(name), 1U) << name;
  }
}

TEST_F(ScenariosToo, ConnectionsSayWhereTheyLeadAndWhatTheyDo) {
  const Report report = attached_to("cursors_declared");
  const auto& postgres = report.json().at("postgres");
  EXPECT_EQ(postgres.at("connections_total"), 1);
  ASSERT_EQ(postgres.at("connections").size(), 1U);
  const auto& connection = postgres.at("connections").at(0);
  EXPECT_EQ(connection.at("connection"), where());
  EXPECT_EQ(connection.at("host"), server().host());
  EXPECT_EQ(connection.at("port"), "5432");
  EXPECT_EQ(connection.at("database"), "postgres");
  EXPECT_EQ(connection.at("user"), "postgres");
  EXPECT_EQ(connection.at("state"), "idle in transaction");
  EXPECT_EQ(connection.at("seen_from_start"), true);
  EXPECT_EQ(connection.at("open_total"), connection.at("open").size());
  for (const auto& open : connection.at("open")) {
    EXPECT_EQ(open.at("kind"), "pg.cursor");
    EXPECT_THAT(open.at("sql").get<std::string>(), testing::StartsWith("DECLARE"));
    EXPECT_GE(open.at("age_seconds"), 0.0);
    const bool hold =
        open.at("name") == "e3" || open.at("name") == "p2" || open.at("name") == "pr2";
    EXPECT_EQ(open.value("state", "") == "with hold", hold) << open.dump();
  }
}

/// The state of the connections that lead to something, and how many there are of each.
std::map<std::string, int> states(const Report& report) {
  std::map<std::string, int> count;
  for (const auto& connection : report.json().at("postgres").at("connections")) {
    ++count[connection.at("state").get<std::string>()];
  }
  return count;
}

TEST_F(ScenariosToo, StatesOfConnectionsAreTold) {
  EXPECT_EQ(states(attached_to("cursors_held")), (std::map<std::string, int>{{"idle", 2}}));
  EXPECT_EQ(states(attached_to("copy_kept")), (std::map<std::string, int>{{"active", 3}}));
  EXPECT_EQ(states(attached_to("connections_ended_by_server")),
            (std::map<std::string, int>{{"idle", 1}, {"broken", 1}}));
}

TEST_F(ScenariosToo, ModesAreNamed) {
  const auto state_at = [](const Report& report, const std::string& function) {
    for (const auto& site : report.stacks_with(function)) {
      if (site.at("kind") == "pg.copy") return site.at("detail").at("state").get<std::string>();
    }
    return std::string();
  };
  const Report copies = attached_to("copy_kept");
  EXPECT_EQ(state_at(copies, "keep_copy_in"), "copy in");
  EXPECT_EQ(state_at(copies, "keep_copy_out"), "copy out");
  EXPECT_EQ(state_at(copies, "keep_copy_sent"), "copy in");
  EXPECT_EQ(state_at(attached_to("rows_kept"), "keep_undrained"), "single rows");
  EXPECT_EQ(state_at(attached_to("pipeline_modes"), "keep_pipeline"), "pipeline");
}

/// libpq's result for when there is no memory is nobody's, however often it is handed out.
TEST_F(ScenariosToo, TheResultOfNoMemoryIsNone) {
  const TracedRun traced = run_traced(client("pg_no_memory", {}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  expect_held(traced.report(), traced.outcome.out);
}

/// What was there before is not known, and how often something of it was closed is said.
TEST_F(ScenariosToo, WhatWasOpenedBeforeIsSaidToBeUnknown) {
  Process target(client("pg_random", {"--operations", "1000", "--step"}));
  ASSERT_TRUE(target.wait_for_line("checkpoint"));
  ASSERT_TRUE(
      wait_until([&] { return target.out().find("\nend 1\n") != std::string::npos; }, Seconds(20)));
  Attached attached({target.pid()}, {"--kinds", "pg", "--budget", "off"});
  for (int step = 0; step < 9; ++step) {
    target.signal(SIGUSR1);
    const std::string end = "\nend " + std::to_string(step + 2) + "\n";
    ASSERT_TRUE(
        wait_until([&] { return target.out().find(end) != std::string::npos; }, Seconds(20)));
  }
  const Report report = attached.stop();
  EXPECT_GT(report.loss("pg_unmatched_close"), 0U);
  for (const auto& connection : report.json().at("postgres").at("connections")) {
    const std::string handle = connection.at("handle");
    if (connection.at("seen_from_start") == false) return;
  }
  ADD_FAILURE() << "every connection is said to have been seen from its start";
}

}  // namespace
}  // namespace leaktrace::runtime
