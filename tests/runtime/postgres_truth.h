// SPDX-License-Identifier: Apache-2.0
// What the clients of tests/testprogs/postgres say of themselves, and what leaktrace says of them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/runtime/leaktrace.h"
#include "tests/runtime/postgres_server.h"

namespace leaktrace::runtime {

/// A line "holds KIND FUNCTION COUNT".
struct Held {
  std::string kind;
  std::string function;
  std::uint64_t count = 0;
};
[[nodiscard]] std::vector<Held> held_said(const std::string& out);

/// What a session has open, by its own views or by leaktrace's report.
struct OpenNames {
  std::multiset<std::string> cursors;
  std::multiset<std::string> statements;  ///< those with a name
  bool operator==(const OpenNames&) const = default;
};
std::ostream& operator<<(std::ostream& out, const OpenNames& names);

/// The sessions that said "connection INDEX HANDLE", by handle. Those that could not be asked are
/// left out.
using SessionNames = std::map<std::string, OpenNames>;
[[nodiscard]] SessionNames sessions_said(const std::string& out);
/// The same from the report's "postgres".
[[nodiscard]] SessionNames sessions_reported(const Report& report);

/// Of one kind, or with "pg." of all of them: outstanding at all sites.
[[nodiscard]] std::uint64_t outstanding_of(const Report& report, const std::string& kinds);
[[nodiscard]] std::uint64_t acquired_of(const Report& report, const std::string& kinds);
/// Those with something outstanding.
[[nodiscard]] std::vector<nlohmann::json> sites_holding(const Report& report,
                                                        const std::string& kind);

/// Each function holds what was said of it, and nothing else is outstanding.
void expect_held(const Report& report, const std::string& out);
/// Each session that was asked has open what it said, and so leaktrace says.
void expect_sessions(const Report& report, const std::string& out);

/// Tests with a server, one for all cases of a suite.
class PostgresTest : public RuntimeTest {
 public:
  static void SetUpTestSuite();
  static void TearDownTestSuite();

 protected:
  void SetUp() override;
  [[nodiscard]] static PostgresServer& server() { return *server_; }
  /// A client of tests/testprogs/postgres with its arguments, the server's conninfo in front.
  [[nodiscard]] static std::vector<std::string> client(const std::string& name,
                                                       const std::vector<std::string>& arguments);

 private:
  static std::unique_ptr<PostgresServer> server_;
};

}  // namespace leaktrace::runtime
