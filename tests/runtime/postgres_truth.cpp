// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/postgres_truth.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

namespace leaktrace::runtime {

using nlohmann::json;

std::vector<Held> held_said(const std::string& out) {
  std::vector<Held> said;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    Held held;
    if (words >> word >> held.kind >> held.function >> held.count && word == "holds") {
      said.push_back(held);
    }
  }
  return said;
}

std::ostream& operator<<(std::ostream& out, const OpenNames& names) {
  return out << "cursors " << testing::PrintToString(names.cursors) << ", statements "
             << testing::PrintToString(names.statements);
}

SessionNames sessions_said(const std::string& out) {
  std::map<int, std::string> handles;
  SessionNames sessions;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, rest;
    int index = 0;
    if (!(words >> word >> index) || !std::getline(words.ignore(1), rest)) rest.clear();
    if (word == "connection") sessions[handles[index] = rest] = {};
    if (word == "unasked") sessions.erase(handles[index]);
    if (word == "statement") sessions[handles[index]].statements.insert(rest);
    // hold or transaction comes first; the name may be a blank itself.
    if (word == "cursor") sessions[handles[index]].cursors.insert(rest.substr(rest.find(' ') + 1));
  }
  return sessions;
}

SessionNames sessions_reported(const Report& report) {
  SessionNames sessions;
  for (const json& connection : report.json().at("postgres").at("connections")) {
    OpenNames& names = sessions[connection.at("handle")];
    for (const json& open : connection.at("open")) {
      const std::string name = open.value("name", "");
      if (open.at("kind") == "pg.cursor") names.cursors.insert(name);
      if (open.at("kind") == "pg.statement" && !name.empty()) names.statements.insert(name);
    }
  }
  return sessions;
}

static std::uint64_t sum_of(const Report& report, const std::string& kinds, const char* what,
                            const char* field) {
  std::uint64_t sum = 0;
  for (const json& site : report.json().at("sites")) {
    if (site.at("kind").get<std::string>().starts_with(kinds)) {
      sum += site.at(what).at(field).get<std::uint64_t>();
    }
  }
  return sum;
}

std::uint64_t outstanding_of(const Report& report, const std::string& kinds) {
  return sum_of(report, kinds, "outstanding", "count");
}

std::uint64_t acquired_of(const Report& report, const std::string& kinds) {
  const json& opened = report.json().at("postgres").at("opened");
  return opened.contains(kinds) ? opened.at(kinds).get<std::uint64_t>() : 0;
}

std::vector<json> sites_holding(const Report& report, const std::string& kind) {
  std::vector<json> found;
  for (const json& site : report.json().at("sites")) {
    if (site.at("kind") == kind && site.at("outstanding").at("count") > 0) found.push_back(site);
  }
  return found;
}

void expect_held(const Report& report, const std::string& out) {
  std::map<std::string, std::uint64_t> of_kind;
  const auto said = held_said(out);
  EXPECT_FALSE(said.empty()) << out;
  for (const Held& held : said) {
    EXPECT_EQ(report.outstanding(held.function, held.kind).count, held.count)
        << held.kind << " at " << held.function;
    of_kind[held.kind] += held.count;
  }
  for (const char* kind : {"pg.connection", "pg.result", "pg.statement", "pg.cursor", "pg.copy",
                           "pg.buffer", "pg.large_object"}) {
    EXPECT_EQ(outstanding_of(report, kind), of_kind[kind])
        << kind << ": " << json(sites_holding(report, kind)).dump(1);
  }
}

void expect_sessions(const Report& report, const std::string& out) {
  const SessionNames reported = sessions_reported(report);
  for (const auto& [handle, names] : sessions_said(out)) {
    const auto found = reported.find(handle);
    if (found == reported.end()) {
      ADD_FAILURE() << "no connection " << handle << " in the report; it has " << names;
    } else {
      EXPECT_EQ(found->second, names) << handle;
    }
  }
}

std::unique_ptr<PostgresServer> PostgresTest::server_;

void PostgresTest::SetUpTestSuite() {
  if (geteuid() == 0 && PostgresServer::missing().empty()) {
    server_ = std::make_unique<PostgresServer>();
  }
}

void PostgresTest::TearDownTestSuite() {
  server_.reset();
}

void PostgresTest::SetUp() {
  RuntimeTest::SetUp();
  if (IsSkipped()) return;
  if (server_ == nullptr) GTEST_SKIP() << PostgresServer::missing();
  if (!std::filesystem::exists(testprog("postgres/pg_scenarios"))) {
    GTEST_SKIP() << "no libpq when this was built (package libpq-dev)";
  }
}

std::vector<std::string> PostgresTest::client(const std::string& name,
                                              const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {testprog("postgres/" + name), server().conninfo()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace leaktrace::runtime
