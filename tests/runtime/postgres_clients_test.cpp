// SPDX-License-Identifier: Apache-2.0
//
// Clients as the distribution ships them, unmodified: psql, pgbench, psycopg2; and a program that
// uses libpqxx.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPython = "/usr/bin/python3";

/// What the only session of a client said and what leaktrace says of it.
void expect_one_session(const Report& report, const std::string& out) {
  const SessionNames said = sessions_said(out);
  ASSERT_EQ(said.size(), 1U) << out;
  const SessionNames reported = sessions_reported(report);
  ASSERT_EQ(reported.size(), 1U);
  EXPECT_EQ(reported.begin()->second, said.begin()->second);
  EXPECT_EQ(outstanding_of(report, "pg.cursor"), said.begin()->second.cursors.size());
  EXPECT_EQ(outstanding_of(report, "pg.statement"), said.begin()->second.statements.size());
}

// ---- psql
// -----------------------------------------------------------------------------------------

class Psql : public PostgresTest {
 protected:
  /// psql runs this script between "ready" and "done", and says what its session has open.
  std::unique_ptr<Process> start(const std::string& script) {
    const auto await = [&](const std::string& file) {
      return "\\! while [ ! -e " + dir_.file(file) + " ]; do sleep 0.05; done\n";
    };
    const std::string truth = "\\o " + dir_.file("truth") +
                              "\nSELECT 'cursor 0 any ' || name FROM pg_cursors WHERE name <> '';\n"
                              "SELECT 'statement 0 ' || name FROM pg_prepared_statements;\n\\o\n";
    write_whole(dir_.file("script"), "\\! echo ready 1\n" + await("go") + script + truth +
                                         "\\! echo done 1\n" + await("end"));
    auto command = server().client("psql", {"-X", "-q", "-A", "-t", "-f", dir_.file("script")});
    return std::make_unique<Process>(command);
  }
  void allow(const std::string& file) { write_whole(dir_.file(file), ""); }
  std::string truth() { return read_whole(dir_.file("truth")); }
};

constexpr const char* kScript = R"(
BEGIN;
DECLARE kept CURSOR FOR SELECT generate_series(1, 100);
DECLARE "Odd; name" CURSOR WITH HOLD FOR SELECT 1;
FETCH 3 FROM kept;
PREPARE plan AS SELECT $1::int;
EXECUTE plan(1);
DECLARE closed CURSOR FOR SELECT 1;
CLOSE closed;
\set ON_ERROR_ROLLBACK on
DECLARE in_savepoint CURSOR FOR SELECT 1;
SELECT 1/0;
DECLARE after_error CURSOR FOR SELECT 1;
\set FETCH_COUNT 10
SELECT generate_series(1, 100);
\unset FETCH_COUNT
SELECT 1 AS one \gdesc
SELECT 1 \; SELECT 2 \; SELECT 3;
\copy (SELECT generate_series(1, 100)) TO '/dev/null'
CREATE TEMP TABLE numbers (n int);
COPY numbers FROM STDIN;
1
2
\.
)";

TEST_F(Psql, HoldsWhatItsSessionSays) {
  const auto psql = start(kScript);
  ASSERT_TRUE(psql->wait_for_line("ready"));
  Attached attached({psql->pid()}, {"--kinds", "pg", "--budget", "off"});
  allow("go");
  ASSERT_TRUE(psql->wait_for_line("done")) << psql->err();
  const Report report = attached.stop();
  // The connection is older than the trace: what it opened since is known all the same.
  EXPECT_EQ(sessions_said(truth()).begin()->second.cursors.size(), 4U) << truth();
  expect_one_session(report, truth());
  EXPECT_EQ(outstanding_of(report, "pg.copy"), 0U);
  EXPECT_EQ(outstanding_of(report, "pg.buffer"), 0U);
  EXPECT_EQ(outstanding_of(report, "pg.result"), 1U);  // that of the last error: \errverbose
  EXPECT_THAT(harmful_losses(report), IsEmpty());
  const auto& connection = report.json().at("postgres").at("connections").at(0);
  EXPECT_EQ(connection.at("state"), "idle in transaction");
  EXPECT_EQ(connection.at("seen_from_start"), false);
  EXPECT_THAT(connection.at("connection").get<std::string>(), HasSubstr(server().host()));
  allow("end");
  EXPECT_EQ(psql->wait().status, 0) << psql->err();
}

TEST_F(Psql, IsSeenTheSameByTwoTraces) {
  const auto psql = start(kScript);
  ASSERT_TRUE(psql->wait_for_line("ready"));
  Attached first({psql->pid()}, {"--kinds", "pg", "--budget", "off"});
  Attached second({psql->pid()}, {"--kinds", "pg", "--budget", "off"});
  allow("go");
  ASSERT_TRUE(psql->wait_for_line("done")) << psql->err();
  for (const Report& report : {second.stop(), first.stop()}) {
    expect_one_session(report, truth());
    EXPECT_EQ(outstanding_of(report, "pg.result"), 1U);
    EXPECT_THAT(harmful_losses(report), IsEmpty());
  }
  allow("end");
  EXPECT_EQ(psql->wait().status, 0) << psql->err();
}

/// As a person starts it: through the wrapper that Debian has in front of it.
TEST_F(Psql, LeavesNothing) {
  std::string script = kScript;
  write_whole(dir_.file("script"), script + "COMMIT;\nSELECT 'secret' FROM numbers;\n");
  const TracedRun traced =
      run_traced({"/usr/bin/psql", "-h", server().host(), "-U", PostgresServer::user(), "-X", "-q",
                  "-A", "-t", "-f", dir_.file("script"), PostgresServer::database()},
                 {"--kinds", "pg"});
  EXPECT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_THAT(traced.outcome.out, HasSubstr("secret\nsecret\n"));
  const Report report = traced.report();
  EXPECT_EQ(acquired_of(report, "pg.connection"), 1U);
  EXPECT_EQ(acquired_of(report, "pg.cursor"), 6U);  // its own for FETCH_COUNT, too
  for (const char* kind : {"pg.connection", "pg.statement", "pg.cursor", "pg.copy", "pg.buffer"}) {
    EXPECT_EQ(outstanding_of(report, kind), 0U) << kind;
  }
  EXPECT_EQ(outstanding_of(report, "pg.result"), 1U);  // of the last error: it never clears that
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

// ---- pgbench
// --------------------------------------------------------------------------------------

class Pgbench : public PostgresTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    PostgresTest::SetUp();
    if (IsSkipped()) return;
    const Outcome filled = run_command(server().client("pgbench", {"-i", "-q"}));
    ASSERT_EQ(filled.status, 0) << filled.err;
  }
};

TEST_P(Pgbench, LeavesNothing) {
  constexpr unsigned kClients = 2;
  constexpr unsigned kTransactions = 200;
  constexpr unsigned kStatements = 7;  // of its built-in transaction
  const TracedRun traced =
      run_traced(server().client("pgbench", {"-n", "-M", GetParam(), "-c", std::to_string(kClients),
                                             "-j", "2", "-t", std::to_string(kTransactions)}),
                 {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  EXPECT_THAT(traced.outcome.out, HasSubstr("number of transactions actually processed: 400/400"));
  const Report report = traced.report();
  EXPECT_EQ(outstanding_of(report, "pg."), 0U);
  EXPECT_GE(acquired_of(report, "pg.connection"), kClients);
  EXPECT_GE(acquired_of(report, "pg.result"), kClients * kTransactions * kStatements);
  const bool prepares = std::string(GetParam()) == "prepared";
  EXPECT_EQ(acquired_of(report, "pg.statement"), prepares ? kClients * kStatements : 0U);
  EXPECT_EQ(acquired_of(report, "pg.cursor"), 0U);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, Pgbench, testing::Values("simple", "extended", "prepared"),
                         [](const auto& each) { return std::string(each.param); });

class PgbenchLive : public Pgbench {};

/// While it runs, each client has its prepared statements.
TEST_F(PgbenchLive, HoldsItsStatements) {
  Process pgbench(server().client("pgbench", {"-n", "-M", "prepared", "-c", "3", "-T", "60"}));
  ASSERT_TRUE(wait_until(
      [&] {
        return server().ask(
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                   "'pgbench'") == "3\n";
      },
      Seconds(20)));
  Attached attached({pgbench.pid()}, {"--kinds", "pg", "--budget", "off", "--duration", "2"});
  const Report report = attached.wait();
  // They were prepared before the trace began, and are executed all the time.
  EXPECT_EQ(outstanding_of(report, "pg.statement"), 0U);
  EXPECT_LE(outstanding_of(report, "pg.result"), 3U);
  EXPECT_GT(acquired_of(report, "pg.result"), 100U);
  const auto& postgres = report.json().at("postgres");
  EXPECT_EQ(postgres.at("connections_total"), 3);
  for (const auto& connection : postgres.at("connections")) {
    EXPECT_EQ(connection.at("seen_from_start"), false);
    EXPECT_THAT(connection.at("connection").get<std::string>(), HasSubstr(server().host()));
  }
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

// ---- psycopg2
// -------------------------------------------------------------------------------------

constexpr const char* kPythonClient = R"(
import os, signal, sys, psycopg2
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
print('ready', os.getpid(), flush=True)
signal.sigwait({signal.SIGUSR1})
kept = []

def open_session():
    connection = psycopg2.connect(sys.argv[1])
    kept.append(connection)
    return connection

def keep_named(connection):
    for name in ('one', 'Two', 'thr"ee'):
        cursor = connection.cursor(name)
        cursor.execute('SELECT generate_series(1, %s)', (100,))
        cursor.fetchmany(10)
        kept.append(cursor)

def keep_with_hold(connection):
    cursor = connection.cursor('held', withhold=True)
    cursor.execute('SELECT 1')
    kept.append(cursor)

def release_named(connection):
    for i in range(20):
        with connection.cursor('passing') as cursor:
            cursor.execute('SELECT 1')
            cursor.fetchall()

def release_by_commit(connection):
    cursor = connection.cursor('until commit')
    cursor.execute('SELECT 1')
    connection.commit()

def release_by_error(connection):
    cursor = connection.cursor('until error', withhold=True)
    cursor.execute('SELECT 1')
    try:
        connection.cursor().execute('SELECT 1/0')
    except psycopg2.Error:
        connection.rollback()

def keep_prepared(connection):
    with connection.cursor() as cursor:
        cursor.execute('PREPARE plan AS SELECT $1::int')
        cursor.execute('PREPARE passing AS SELECT 1; DEALLOCATE passing')
        cursor.execute('EXECUTE plan(%s)', (7,))

def release_copies(connection):
    with connection.cursor() as cursor:
        cursor.execute('CREATE TEMP TABLE numbers (n int)')
        with open('/dev/null', 'w') as nothing:
            cursor.copy_expert('COPY (SELECT generate_series(1, 100)) TO STDOUT', nothing)
        with open('/dev/null') as nothing:
            cursor.copy_expert('COPY numbers FROM STDIN', nothing)

def leak_connections():
    for i in range(2):
        kept.append(psycopg2.connect(sys.argv[1]))

def release_connections():
    for i in range(3):
        psycopg2.connect(sys.argv[1]).close()
    try:
        psycopg2.connect('host=/nonexistent/leaktrace')
    except psycopg2.OperationalError:
        pass

def say(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'cursor 0 any ' || name FROM pg_cursors WHERE name <> ''"
                       " UNION ALL SELECT 'statement 0 ' || name FROM pg_prepared_statements")
        for row in cursor.fetchall():
            print(row[0])

connection = open_session()
release_by_error(connection)
release_by_commit(connection)
release_named(connection)
keep_with_hold(connection)
connection.commit()
keep_named(connection)
keep_prepared(connection)
release_copies(connection)
leak_connections()
release_connections()
say(connection)
print('done', os.getpid(), flush=True)
signal.sigwait({signal.SIGTERM})
os._exit(0)
)";

class Psycopg : public PostgresTest {
 protected:
  void SetUp() override {
    PostgresTest::SetUp();
    if (IsSkipped()) return;
    if (run_command({kPython, "-c", "import psycopg2"}).status != 0) {
      GTEST_SKIP() << "no psycopg2 (package python3-psycopg2)";
    }
  }
};

TEST_F(Psycopg, HoldsWhatItsSessionSays) {
  Process python({kPython, "-c", kPythonClient, server().conninfo()});
  ASSERT_TRUE(python.wait_for_line("ready")) << python.err();
  Attached attached({python.pid()}, {"--kinds", "pg", "--budget", "off"});
  python.signal(SIGUSR1);
  ASSERT_TRUE(python.wait_for_line("done")) << python.err();
  const Report report = attached.stop();

  EXPECT_EQ(report.outstanding("open_session", "pg.connection").count, 1U);
  EXPECT_EQ(report.outstanding("leak_connections", "pg.connection").count, 2U);
  EXPECT_EQ(outstanding_of(report, "pg.connection"), 3U);
  EXPECT_EQ(report.outstanding("keep_named", "pg.cursor").count, 3U);
  EXPECT_EQ(report.outstanding("keep_with_hold", "pg.cursor").count, 1U);
  EXPECT_EQ(outstanding_of(report, "pg.cursor"), 4U);
  EXPECT_EQ(report.outstanding("keep_prepared", "pg.statement").count, 1U);
  EXPECT_EQ(outstanding_of(report, "pg.statement"), 1U);
  EXPECT_EQ(outstanding_of(report, "pg.copy"), 0U);
  EXPECT_THAT(harmful_losses(report), IsEmpty());

  const SessionNames said = sessions_said(python.out());
  ASSERT_EQ(said.size(), 1U);
  std::size_t found = 0;
  for (const auto& [handle, names] : sessions_reported(report)) {
    found += names == said.begin()->second;
  }
  EXPECT_EQ(found, 1U) << "has " << said.begin()->second;
  python.signal(SIGTERM);
  EXPECT_EQ(python.wait().status, 0);
}

// ---- libpqxx
// --------------------------------------------------------------------------------------

class Pqxx : public PostgresTest {
 protected:
  void SetUp() override {
    PostgresTest::SetUp();
    if (IsSkipped()) return;
    if (!std::filesystem::exists(testprog("postgres/pg_pqxx"))) {
      GTEST_SKIP() << "no libpqxx when this was built (package libpqxx-dev)";
    }
  }
};

TEST_F(Pqxx, HoldsWhatItSays) {
  const TracedRun traced = run_traced(client("pg_pqxx", {}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  expect_held(report, traced.outcome.out);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

TEST_F(Pqxx, HoldsWhatItsSessionSaysAttached) {
  Process target(client("pg_pqxx", {"--wait", "--linger"}));
  ASSERT_TRUE(target.wait_for_line("ready"));
  Attached attached({target.pid()}, {"--kinds", "pg", "--budget", "off"});
  target.signal(SIGUSR1);
  ASSERT_TRUE(target.wait_for_line("done")) << target.err();
  const Report report = attached.stop();
  expect_held(report, target.out());
  std::size_t found = 0;
  const SessionNames said = sessions_said(target.out());
  for (const auto& [handle, names] : sessions_reported(report)) {
    found += names == said.begin()->second;
  }
  EXPECT_EQ(found, 1U) << "has " << said.begin()->second;
  EXPECT_THAT(harmful_losses(report), IsEmpty());
  target.signal(SIGTERM);
  EXPECT_EQ(target.wait().status, 0);
}

}  // namespace
}  // namespace leaktrace::runtime
