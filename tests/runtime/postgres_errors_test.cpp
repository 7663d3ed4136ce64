// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL's resources where something is missing, cut, too many or secret. Texts that are no
// SQL or no UTF-8, and handles that are used again, are among the scenarios.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// ---- Programs without libpq
// -----------------------------------------------------------------------

class WithoutLibpq : public RuntimeTest {};

TEST_F(WithoutLibpq, OtherKindsAreTracedAndItIsSaid) {
  const TracedRun traced = run_traced({testprog("leak_realloc_growth")}, {"--kinds", "heap,pg"});
  EXPECT_EQ(traced.outcome.status, 0);
  EXPECT_THAT(traced.outcome.err, HasSubstr("libpq"));
  const Report report = traced.report();
  for (const auto& [function, amount] : leaks_said(traced.outcome.out)) {
    EXPECT_EQ(report.outstanding(function), amount) << function;
  }
  EXPECT_EQ(outstanding_of(report, "pg."), 0U);
}

TEST_F(WithoutLibpq, ItIsSaidWhenAttaching) {
  Process target({testprog("steady_leak")});
  ASSERT_TRUE(target.wait_for_line("running"));
  Attached attached({target.pid()}, exactly({"--kinds", "heap,pg", "--duration", "1"}));
  const Report report = attached.wait();
  EXPECT_THAT(attached.outcome().err, HasSubstr("libpq"));
  EXPECT_GT(report.outstanding("leak_tick").count, 10U);
}

/// Of kinds that nobody asked for by name nothing is said.
TEST_F(WithoutLibpq, NothingIsSaidWhenNobodyAsked) {
  const TracedRun traced = run_traced({testprog("leak_realloc_growth")});
  EXPECT_EQ(traced.outcome.status, 0);
  EXPECT_THAT(traced.outcome.err, Not(HasSubstr("libpq")));
}

// ---- Bounds
// ---------------------------------------------------------------------------------------

class Bounds : public PostgresTest {};

TEST_F(Bounds, TenThousandConnectionsAreCounted) {
  const TracedRun traced =
      run_traced(client("pg_scenarios", {"many_connections", "10000"}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.outstanding("leak_many", "pg.connection").count, 10000U);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_F(Bounds, TenThousandConnectionsAreKnownWhileTheyAreThere) {
  Process target(client("pg_scenarios", {"many_connections", "10000", "--wait", "--linger"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, {"--kinds", "pg", "--budget", "off"});
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done", Seconds(60))) << target.err();
  const Report report = attached.stop();
  EXPECT_EQ(report.outstanding("leak_many", "pg.connection").count, 10000U);
  EXPECT_EQ(report.json().at("postgres").at("connections_total"), 10000);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

/// Connections over the bound are still counted as such; what they open is not known, and said.
TEST_F(Bounds, ConnectionsOverTheBoundAreALoss) {
  const TracedRun traced = run_traced(client("pg_scenarios", {"many_connections", "1000"}),
                                      {"--kinds", "pg", "--max-connections", "100"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(report.outstanding("leak_many", "pg.connection").count, 1000U);
  EXPECT_GT(report.loss("pg_table_full"), 0U);
}

TEST_F(Bounds, WhatIsBehindTheCutIsSaidToBeUndecided) {
  const auto command = client("pg_scenarios", {"cursors_behind_the_cut"});
  const TracedRun cut = run_traced(command, {"--kinds", "pg"});
  ASSERT_EQ(cut.outcome.status, 0) << cut.outcome.err;
  EXPECT_EQ(cut.report().loss("pg_text_cut"), 1U);
  EXPECT_EQ(cut.report().loss("pg_undecided"), 1U);

  const TracedRun whole = run_traced(command, {"--kinds", "pg", "--sql-bytes", "8192"});
  expect_held(whole.report(), whole.outcome.out);
  EXPECT_THAT(harmful_losses(whole.report()), IsEmpty());
}

TEST_F(Bounds, HandlesAreUsedAgain) {
  const TracedRun traced =
      run_traced(client("pg_scenarios", {"handle_used_again", "300"}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_held(report, traced.outcome.out);
  EXPECT_EQ(acquired_of(report, "pg.cursor"), 300U);
  EXPECT_EQ(acquired_of(report, "pg.statement"), 301U);  // one is kept
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

// ---- A client that is killed
// ------------------------------------------------------------------------

class Killed : public PostgresTest {
 protected:
  /// In the middle of its work what it holds is known, but for the one cursor that it works with.
  static void expect_held_when_killed(const Report& report, const std::string& out) {
    for (const Held& held : held_said(out)) {
      EXPECT_EQ(report.outstanding(held.function, held.kind).count, held.count)
          << held.kind << " at " << held.function;
    }
    EXPECT_LE(outstanding_of(report, "pg.cursor"), 2U);
    EXPECT_EQ(outstanding_of(report, "pg.statement"), 1U);
    EXPECT_THAT(outstanding_of(report, "pg.result"),
                testing::AllOf(testing::Ge(5U), testing::Le(6U)));
    EXPECT_THAT(harmful_losses(report), IsEmpty());
  }
};

TEST_F(Killed, AttachedReportsWhatWasHeld) {
  Process target(client("pg_scenarios", {"works_until_killed", "--wait"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, {"--kinds", "pg", "--budget", "off"});
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("working")) << target.err();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  target.signal(SIGKILL);
  EXPECT_EQ(target.wait().status, 128 + SIGKILL);
  expect_held_when_killed(attached.wait(), target.out());
}

TEST_F(Killed, RunReportsWhatWasHeld) {
  const std::string report_path = dir_.file("report.json");
  std::vector<std::string> arguments = {"run",   "--kinds", "pg", "--format",  "json",
                                        "--top", "100000",  "-o", report_path, "--"};
  for (const std::string& word : client("pg_scenarios", {"works_until_killed"})) {
    arguments.push_back(word);
  }
  Process leaktrace(leaktrace_command(arguments));
  const auto pid = leaktrace.wait_for_line("working", Seconds(60));
  ASSERT_TRUE(pid) << leaktrace.err();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  kill(std::stoi(*pid), SIGKILL);
  const Outcome outcome = leaktrace.wait();
  EXPECT_EQ(outcome.status, 128 + SIGKILL) << outcome.err;
  expect_held_when_killed(Report(read_whole(report_path)), outcome.out);
}

// ---- Secrets
// ----------------------------------------------------------------------------------------

/// The literals "secret" and 471147114711 and the password "hunter2" of scenario `secrets`.
class Secrets : public PostgresTest {
 protected:
  std::string record(const std::vector<std::string>& options = {}) {
    const std::string path = dir_.file("recording");
    std::vector<std::string> arguments = {"record", "-o", path, "--kinds", "pg"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.emplace_back("--");
    for (const std::string& word : client("pg_scenarios", {"secrets"})) arguments.push_back(word);
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return path;
  }

  /// A report in this format, unpacked.
  std::string report_in(const std::string& format, const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"run",   "--kinds", "pg", "--format",       format,
                                          "--top", "100000",  "-o", dir_.file(format)};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.emplace_back("--");
    for (const std::string& word : client("pg_scenarios", {"secrets"})) arguments.push_back(word);
    const Outcome outcome = run_leaktrace(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("secret"))) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("hunter2"))) << outcome.err;
    return run_command({"gzip", "-dcf", dir_.file(format)}).out;
  }

  /// All formats that leaktrace knows, by its own help.
  static std::vector<std::string> formats() {
    const std::string help = run_leaktrace({"run", "--help"}).out;
    std::vector<std::string> found;
    for (const char* name : {"text", "json", "folded", "svg", "html", "pprof", "speedscope",
                             "metrics", "prometheus"}) {
      if (help.find(std::string("\n  ") + name) != std::string::npos ||
          help.find(std::string(" ") + name + " ") != std::string::npos) {
        found.emplace_back(name);
      }
    }
    return found;
  }
};

/// A literal of the program's name is none: the scenario's own name has the word with an s.
std::string without_scenario(std::string text) {
  for (const std::string name : {"keep_secrets", "secrets"}) {
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;) {
      text.erase(at, name.size());
    }
  }
  return text;
}

TEST_F(Secrets, AreInNoReport) {
  const auto all = formats();
  EXPECT_GE(all.size(), 4U);
  for (const std::string& format : all) {
    const std::string text = without_scenario(report_in(format, {}));
    EXPECT_THAT(text, Not(IsEmpty())) << format;
    for (const char* word : {"secret", "471147114711", "hunter2", "password"}) {
      EXPECT_EQ(text.find(word), std::string::npos) << word << " in " << format;
    }
  }
}

TEST_F(Secrets, AreShownWhenAskedFor) {
  const std::string text = without_scenario(report_in("json", {"--show-sql", "raw"}));
  EXPECT_THAT(text, HasSubstr("'secret' AS word, 471147114711"));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
}

TEST_F(Secrets, AreInNoRecording) {
  const std::string path = record();
  const std::string text = without_scenario(read_whole(path));
  for (const char* word : {"secret", "471147114711", "hunter2"}) {
    EXPECT_EQ(text.find(word), std::string::npos) << word;
  }
  const Outcome replayed = run_leaktrace({"report", path, "--format", "json", "--top", "100000"});
  const Report report(replayed.out);
  EXPECT_EQ(report.outstanding("keep_secrets", "pg.cursor").count, 1U);
  EXPECT_EQ(report.outstanding("keep_secrets", "pg.statement").count, 2U);
  EXPECT_EQ(without_scenario(replayed.out).find("secret"), std::string::npos);
}

TEST_F(Secrets, AreInARecordingWhenAskedForButNoPassword) {
  const std::string path = record({"--show-sql", "raw"});
  const Outcome replayed = run_leaktrace({"report", path, "--format", "json", "--top", "100000"});
  EXPECT_THAT(without_scenario(replayed.out), HasSubstr("'secret' AS word"));
  EXPECT_EQ(read_whole(path).find("hunter2"), std::string::npos);
  EXPECT_EQ(replayed.out.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace leaktrace::runtime
