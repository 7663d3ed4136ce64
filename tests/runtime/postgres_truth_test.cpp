// SPDX-License-Identifier: Apache-2.0
//
// Is the truth right that the other tests of PostgreSQL hold leaktrace to? What a client says of
// cursors and statements it holds against its server's own views itself, and fails when they
// differ. Its connections, results and buffers are held against a library that stands in front of
// libpq.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <sstream>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

class Truth : public PostgresTest {
 protected:
  static void expect_true(const std::vector<std::string>& command, const std::string& what) {
    const Outcome outcome = run_command(
        command, {.environment = {"LD_PRELOAD=" + testprog("postgres/libpg_ledger.so")}});
    EXPECT_EQ(outcome.status, 0) << what << ": " << outcome.err;
    std::map<std::string, std::uint64_t> said;
    for (const Held& held : held_said(outcome.out)) said[held.kind] += held.count;
    int kinds = 0;
    std::istringstream lines(outcome.err);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string word, kind;
      std::uint64_t count = 0;
      if (!(words >> word >> kind >> count) || word != "ledger") continue;
      EXPECT_EQ(said[kind], count) << what << ": " << kind;
      ++kinds;
    }
    EXPECT_EQ(kinds, 3) << what << ": " << outcome.err;
  }
};

TEST_F(Truth, OfEachScenario) {
  const Outcome list = run_command({testprog("postgres/pg_scenarios"), "--list"});
  std::istringstream names(list.out);
  int count = 0;
  for (std::string name; std::getline(names, name);) {
    if (name == "works_until_killed") continue;
    expect_true(client("pg_scenarios", {name}), name);
    ++count;
  }
  EXPECT_GT(count, 50);
}

TEST_F(Truth, OfTheOtherClients) {
  expect_true(client("pg_no_memory", {}), "pg_no_memory");
  expect_true(client("pg_random", {"--seed", "5"}), "pg_random");
  if (std::filesystem::exists(testprog("postgres/pg_pqxx"))) {
    expect_true(client("pg_pqxx", {}), "pg_pqxx");
  }
}

/// The same seed is the same run, whatever else happens.
TEST_F(Truth, OfARandomRunIsThatOfItsSeed) {
  const auto names = [&](const std::string& seed) {
    const Outcome outcome =
        run_command(client("pg_random", {"--seed", seed, "--operations", "2000"}));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::istringstream lines(outcome.out);
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("connection") && !line.starts_with("done")) text += line + "\n";
    }
    return text;
  };
  EXPECT_EQ(names("1"), names("1"));
  EXPECT_NE(names("1"), names("2"));
}

}  // namespace
}  // namespace leaktrace::runtime
