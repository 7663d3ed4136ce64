// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/runtime/process.h"

namespace leaktrace::runtime {

/// A PostgreSQL server of a test's own: a new cluster in a temporary directory, that listens on a
/// socket there and nowhere else. It runs as user postgres, since it refuses to run as root, and
/// is gone with this object.
class PostgresServer {
 public:
  struct Options {
    int max_connections = 50;
  };

  PostgresServer() : PostgresServer(Options{}) {}
  /// Throws when it does not accept connections in time.
  explicit PostgresServer(const Options& options);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// Is there a server to be started? If not, why: for GTEST_SKIP.
  [[nodiscard]] static std::string missing();

  [[nodiscard]] std::string conninfo() const;
  /// Where its socket is.
  [[nodiscard]] std::string host() const { return dir_.file("run"); }
  [[nodiscard]] static std::string user() { return "postgres"; }
  [[nodiscard]] static std::string database() { return "postgres"; }

  /// Sends SQL through a psql of its own; what it answers, without headers and blanks.
  [[nodiscard]] std::string ask(const std::string& sql) const;
  /// A client that came with the server (psql, pgbench), the program itself and not the wrapper
  /// that Debian has on the PATH, with arguments that lead it here.
  [[nodiscard]] std::vector<std::string> client(const std::string& program,
                                                const std::vector<std::string>& arguments) const;

 private:
  void make_cluster() const;
  void start(const Options& options);
  [[nodiscard]] bool accepts() const;

  TempDir dir_;
  std::unique_ptr<Process> server_;
};

}  // namespace leaktrace::runtime
