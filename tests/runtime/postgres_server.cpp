// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/postgres_server.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace leaktrace::runtime {

namespace {

namespace fs = std::filesystem;

/// The folder of the newest server that is installed; empty when none is.
std::string server_programs() {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", error)) {
    const fs::path folder = version.path() / "bin";
    if (fs::exists(folder / "postgres") && fs::exists(folder / "initdb")) found.push_back(folder);
  }
  return found.empty() ? "" : *std::ranges::max_element(found);
}

/// As user postgres, in a process that ends at once (SIGQUIT) when the test is killed.
std::vector<std::string> as_postgres(const std::vector<std::string>& command) {
  std::vector<std::string> all = {"/usr/bin/setpriv", "--reuid=postgres",    "--regid=postgres",
                                  "--init-groups",    "--pdeathsig=SIGQUIT", "--"};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

void make_folder_of_postgres(const std::string& path) {
  fs::create_directory(path);
  const Outcome chown = run_command({"chown", "postgres", path});
  if (chown.status != 0) throw std::runtime_error(chown.err);
}

}  // namespace

std::string PostgresServer::missing() {
  if (server_programs().empty()) return "no PostgreSQL server (package postgresql)";
  if (!fs::exists("/usr/bin/setpriv")) return "no setpriv (package util-linux)";
  return "";
}

PostgresServer::PostgresServer(const Options& options) {
  // Only its owner may see the cluster; everybody may use the socket.
  make_folder_of_postgres(dir_.file("data"));
  fs::permissions(dir_.file("data"), fs::perms::owner_all);
  make_folder_of_postgres(host());
  make_cluster();
  start(options);
}

void PostgresServer::make_cluster() const {
  const Outcome made =
      run_command(as_postgres({server_programs() + "/initdb", "-D", dir_.file("data"), "-U", user(),
                               "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale",
                               "C", "--no-instructions"}),
                  {}, Seconds(120));
  if (made.status != 0) throw std::runtime_error("initdb: " + made.err);
}

void PostgresServer::start(const Options& options) {
  std::vector<std::string> command = {server_programs() + "/postgres", "-D", dir_.file("data")};
  for (const std::string& setting :
       {std::string("listen_addresses="), std::string("port=5432"),
        "unix_socket_directories=" + host(),
        "max_connections=" + std::to_string(options.max_connections),
        std::string("max_prepared_transactions=4"), std::string("shared_buffers=16MB"),
        std::string("fsync=off"), std::string("autovacuum=off"), std::string("jit=off")}) {
    command.emplace_back("-c");
    command.push_back(setting);
  }
  server_ = std::make_unique<Process>(as_postgres(command));
  const bool ready = wait_until([this] { return !server_->running() || accepts(); }, Seconds(60));
  if (!ready || !server_->running()) throw std::runtime_error("postgres: " + server_->err());
}

bool PostgresServer::accepts() const {
  return fs::exists(host() + "/.s.PGSQL.5432") && ask("SELECT 1") == "1\n";
}

PostgresServer::~PostgresServer() {
  // Its children have process groups of their own: it must end them itself. Should SIGINT take it
  // too long, SIGQUIT is at once.
  for (const int number : {SIGINT, SIGQUIT}) {
    server_->signal(number);
    if (wait_until([this] { return !server_->running(); }, Seconds(10))) return;
  }
}

std::string PostgresServer::conninfo() const {
  return "host=" + host() + " user=" + user() + " dbname=" + database();
}

std::string PostgresServer::ask(const std::string& sql) const {
  return run_command(client("psql", {"-X", "-A", "-t", "-q", "-c", sql})).out;
}

std::vector<std::string> PostgresServer::client(const std::string& program,
                                                const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {server_programs() + "/" + program, "-h", host(), "-U",
                                      user()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.push_back(database());
  return command;
}

}  // namespace leaktrace::runtime
