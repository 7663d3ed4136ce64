// SPDX-License-Identifier: Apache-2.0
//
// A client that uses libpqxx, as C++ programs do: pg_pqxx CONNINFO [--wait] [--linger]. It prints
// "ready PID", what it holds and what its sessions have open, as in pg_client.h, and "done PID".
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <utility>
#include <vector>

#include "../testprog.h"

namespace {

using Cursor = pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned>;
using LooseCursor = pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::loose>;

/// What is kept is never destroyed, not at the program's end either.
template <class T>
T& never_destroyed() {
  static T* const object = new T;
  return *object;
}

std::vector<pqxx::result>& kept_results() {
  return never_destroyed<std::vector<pqxx::result>>();
}

using Truth = std::map<std::pair<std::string, std::string>, long>;
Truth& truth() {
  return never_destroyed<Truth>();
}

void holds(const char* kind, const char* function, long count) {
  truth()[{kind, function}] += count;
}
#define HOLDS(kind, count) holds(kind, __func__, count)

// ---- Results
// --------------------------------------------------------------------------------------

SITE void leak_results(pqxx::connection& connection) {
  pqxx::work work(connection);
  for (int i = 0; i < 5; ++i) kept_results().push_back(work.exec("SELECT generate_series(1, 10)"));
  for (int i = 0; i < 2; ++i) kept_results().push_back(work.exec_params("SELECT $1::int", i));
  work.commit();
  HOLDS("pg.result", 7);
}

/// A row, a field and a copy of a result share what they are of.
SITE void leak_a_shared_result(pqxx::connection& connection) {
  pqxx::nontransaction work(connection);
  const pqxx::result result = work.exec("SELECT 1, 2 UNION SELECT 3, 4");
  kept_results().push_back(result);
  kept_results().push_back(result);
  never_destroyed<std::vector<pqxx::row>>().push_back(result[1]);
  HOLDS("pg.result", 1);
}

SITE void release_results(pqxx::connection& connection) {
  pqxx::work work(connection);
  long sum = 0;
  for (int i = 0; i < 5; ++i) {
    const pqxx::result result = work.exec("SELECT generate_series(1, 10)");
    for (const auto& row : result) sum += row[0].as<long>();
  }
  work.commit();
  if (sum != 275) throw std::logic_error("a wrong sum");
  HOLDS("pg.result", 0);
}

SITE void release_by_exception(pqxx::connection& connection) {
  for (int i = 0; i < 3; ++i) {
    try {
      pqxx::work work(connection);
      work.exec("DECLARE undone CURSOR WITH HOLD FOR SELECT 1");
      work.exec("SELECT 1/0");
    } catch (const pqxx::sql_error&) {
    }
  }
  HOLDS("pg.result", 0);
  HOLDS("pg.cursor", 0);
}

// ---- Statements
// -----------------------------------------------------------------------------------

/// libpqxx prepares when a statement is first used.
SITE void keep_prepared(pqxx::connection& connection) {
  connection.prepare("first", "SELECT $1::int");
  connection.prepare("Second \"one\"", "SELECT 2");
  connection.prepare("never used", "SELECT 3");
  pqxx::work work(connection);
  for (int i = 0; i < 4; ++i) work.exec_prepared("first", i);
  work.exec_prepared("Second \"one\"");
  HOLDS("pg.statement", 2);
}

SITE void release_prepared(pqxx::connection& connection) {
  connection.prepare("passing", "SELECT 1");
  connection.prepare_now("passing");
  connection.unprepare("passing");
  HOLDS("pg.statement", 0);
}

// ---- Cursors
// --------------------------------------------------------------------------------------

/// A cursor keeps a result without rows, too.
SITE void keep_cursor(pqxx::connection& connection) {
  pqxx::work work(connection);
  never_destroyed<std::vector<std::unique_ptr<Cursor>>>().push_back(
      std::make_unique<Cursor>(work, "SELECT generate_series(1, 50)", "kept", true));
  work.commit();
  HOLDS("pg.cursor", 1);
  HOLDS("pg.result", 1);
}

SITE void keep_loose_cursor(pqxx::connection& connection) {
  pqxx::work work(connection);
  LooseCursor cursor(work, "SELECT generate_series(1, 50)", "loose", true);
  if (cursor.size() != 50) throw std::logic_error("a wrong size");
  work.commit();
  HOLDS("pg.cursor", 1);
  HOLDS("pg.result", 0);
}

SITE void keep_declared_cursor(pqxx::connection& connection) {
  pqxx::nontransaction work(connection);
  work.exec("DECLARE " + work.quote_name("Odd; name") + " CURSOR WITH HOLD FOR SELECT 1");
  HOLDS("pg.cursor", 1);
}

SITE void release_cursors(pqxx::connection& connection) {
  pqxx::work work(connection);
  {
    Cursor cursor(work, "SELECT generate_series(1, 50)", "passing", true);
    if (cursor.retrieve(10, 20).size() != 10) throw std::logic_error("a wrong size");
  }
  {
    pqxx::icursorstream stream(work, "SELECT generate_series(1, 50)", "stream", 7);
    for (pqxx::result rows; stream >> rows;) {
    }
  }
  work.exec("DECLARE ends_with_it CURSOR FOR SELECT 1");
  work.commit();
  HOLDS("pg.cursor", 0);
  HOLDS("pg.result", 0);
}

SITE void release_by_subtransaction(pqxx::connection& connection) {
  pqxx::work work(connection);
  {
    pqxx::subtransaction part(work, "part");
    part.exec("DECLARE in_part CURSOR WITH HOLD FOR SELECT 1");
    part.abort();
  }
  work.commit();
  HOLDS("pg.cursor", 0);
}

// ---- The rest
// -------------------------------------------------------------------------------------

SITE void release_copies(pqxx::connection& connection) {
  pqxx::work work(connection);
  work.exec("CREATE TEMP TABLE pairs (a int, b text)");
  pqxx::stream_to into(work, "pairs");
  for (int i = 0; i < 20; ++i) into << std::make_pair(i, std::string("it's"));
  into.complete();
  pqxx::stream_from from(work, "pairs");
  std::pair<int, std::string> row;
  int rows = 0;
  while (from >> row) ++rows;
  from.complete();
  work.commit();
  if (rows != 20) throw std::logic_error("wrong rows");
  HOLDS("pg.copy", 0);
  HOLDS("pg.buffer", 0);
}

SITE void release_pipeline(pqxx::connection& connection) {
  pqxx::work work(connection);
  pqxx::pipeline pipeline(work);
  for (int i = 0; i < 10; ++i) pipeline.insert("SELECT " + std::to_string(i));
  while (!pipeline.empty()) pipeline.retrieve();
  HOLDS("pg.result", 0);
}

SITE void release_large_object(pqxx::connection& connection) {
  pqxx::work work(connection);
  pqxx::largeobject object(work);
  {
    pqxx::largeobjectaccess access(work, object);
    access.write("text");
  }
  object.remove(work);
  work.commit();
  HOLDS("pg.large_object", 0);
}

SITE void leak_connection(const char* words) {
  new pqxx::connection(words);
  HOLDS("pg.connection", 1);
}

SITE void release_connections(const char* words) {
  for (int i = 0; i < 3; ++i) {
    pqxx::connection connection(words);
    connection.prepare("plan", "SELECT 1");
    connection.prepare_now("plan");
    pqxx::nontransaction(connection).exec("DECLARE c CURSOR WITH HOLD FOR SELECT 1");
  }
  try {
    pqxx::connection connection("host=/nonexistent/leaktrace");
  } catch (const pqxx::broken_connection&) {
  }
  HOLDS("pg.connection", 0);
  HOLDS("pg.statement", 0);
  HOLDS("pg.cursor", 0);
}

// ---- What the session says
// --------------------------------------------------------------------------

long say_names(pqxx::connection& connection, const std::string& word, const std::string& query) {
  pqxx::nontransaction work(connection);
  const pqxx::result names = work.exec(query);
  for (const auto& row : names) std::printf("%s 0 %s\n", word.c_str(), row[0].c_str());
  return static_cast<long>(names.size());
}

long held_of(const std::string& kind) {
  long sum = 0;
  for (const auto& [site, count] : truth()) sum += site.first == kind ? count : 0;
  return sum;
}

bool say_truth(pqxx::connection& connection) {
  const long cursors =
      say_names(connection, "cursor",
                "SELECT CASE WHEN is_holdable THEN 'hold ' ELSE 'transaction ' END || name "
                "FROM pg_cursors WHERE name <> ''");
  const long statements =
      say_names(connection, "statement", "SELECT name FROM pg_prepared_statements");
  for (const auto& [site, count] : truth()) {
    std::printf("holds %s %s %ld\n", site.first.c_str(), site.second.c_str(), count);
  }
  std::fflush(stdout);
  return cursors == held_of("pg.cursor") && statements == held_of("pg.statement");
}

SITE pqxx::connection* open_session(const char* words) {
  HOLDS("pg.connection", 1);
  return new pqxx::connection(words);
}

bool work(const char* words) {
  pqxx::connection& connection = *open_session(words);
  leak_results(connection);
  leak_a_shared_result(connection);
  release_results(connection);
  release_by_exception(connection);
  keep_prepared(connection);
  release_prepared(connection);
  keep_cursor(connection);
  keep_loose_cursor(connection);
  keep_declared_cursor(connection);
  release_cursors(connection);
  release_by_subtransaction(connection);
  release_copies(connection);
  release_pipeline(connection);
  release_large_object(connection);
  leak_connection(words);
  release_connections(words);
  return say_truth(connection);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const testprog self = testprog_begin(argc - 1, argv + 1, 0);
  const bool true_to_server = work(argv[1]);
  say_pid("done");
  if (self.linger) await_signal(SIGTERM);
  _exit(true_to_server ? 0 : 3);
}
