// SPDX-License-Identifier: Apache-2.0
//
// Unmodified programs of the distribution, as they are installed: stripped, without frame pointers.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

constexpr const char* kRedisServer = "/usr/bin/redis-server";
constexpr const char* kPython = "/usr/bin/python3";
constexpr int kKeys = 20000;
constexpr int kValueSize = 200;

/// A redis-server of this test's own, on a unix socket.
class Redis {
 public:
  explicit Redis(const TempDir& dir)
      : socket_(dir.file("redis.sock")),
        server_({kRedisServer, "--port", "0", "--unixsocket", socket_, "--save", "", "--appendonly",
                 "no", "--enable-debug-command", "yes", "--dir", dir.path()}) {}

  bool ready() {
    return wait_until([this] { return ask({"PING"}) == "PONG\n"; }, Seconds(20));
  }

  std::string ask(const std::vector<std::string>& request, const std::string& input = {}) {
    std::vector<std::string> command = {"redis-cli", "-s", socket_};
    command.insert(command.end(), request.begin(), request.end());
    return run_command(command, {.input = input}).out;
  }

  /// Sets the same keys to the same values every time; the server's replies.
  std::string fill() {
    std::string commands;
    for (int i = 0; i < kKeys; ++i) {
      commands += "SET key:" + std::to_string(i) + " " +
                  std::string(kValueSize, static_cast<char>('a' + i % 26)) + "\n";
    }
    return ask({}, commands);
  }

  std::uint64_t used_memory() {
    const std::string info = ask({"INFO", "memory"});
    const std::size_t at = info.find("used_memory:");
    return at == std::string::npos ? 0 : std::stoull(info.substr(at + 12));
  }

  [[nodiscard]] pid_t pid() const { return server_.pid(); }
  bool running() { return server_.running(); }

 private:
  std::string socket_;
  Process server_;
};

/// The functions on the stacks of the sites that hold most, until `share` of all bytes is covered.
std::vector<std::string> functions_of_top_sites(const Report& report, double share) {
  std::vector<std::string> names;
  const double all = static_cast<double>(report.outstanding_at_all().bytes);
  double seen = 0;
  for (const auto& site : report.json().at("sites")) {
    if (seen > share * all) break;
    seen += site.at("outstanding").at("bytes").get<double>();
    for (const std::string& name : Report::functions(site)) names.push_back(name);
  }
  return names;
}

class RealPrograms : public RuntimeTest {};

TEST_F(RealPrograms, RedisKeysAreFoundAndItsAnswersAreTheSame) {
  if (!std::filesystem::exists(kRedisServer)) GTEST_SKIP() << "redis-server is not installed";
  std::string digest, replies;
  {
    TempDir dir;
    Redis untraced(dir);
    ASSERT_TRUE(untraced.ready());
    replies = untraced.fill();
    digest = untraced.ask({"DEBUG", "DIGEST"});
  }
  ASSERT_EQ(digest.size(), 41U);

  Redis redis(dir_);
  ASSERT_TRUE(redis.ready());
  const std::uint64_t used_before = redis.used_memory();
  Attached attached({redis.pid()}, exactly());
  EXPECT_EQ(redis.fill(), replies);
  EXPECT_EQ(redis.ask({"DEBUG", "DIGEST"}), digest);
  const std::uint64_t grown = redis.used_memory() - used_before;
  const Report report = attached.stop();
  EXPECT_TRUE(redis.running());
  EXPECT_EQ(redis.ask({"DEBUG", "DIGEST"}), digest);

  const std::uint64_t bytes = report.outstanding_at_all().bytes;
  EXPECT_GE(bytes, std::uint64_t{kKeys} * kValueSize);
  // Redis counts what the allocator rounds its requests up to.
  EXPECT_GE(static_cast<double>(bytes), 0.75 * static_cast<double>(grown));
  EXPECT_LE(static_cast<double>(bytes), 1.25 * static_cast<double>(grown));
  // A dictionary entry and a copy of the name for each key, one value each.
  EXPECT_GE(report.outstanding("dbAdd").count, std::uint64_t{kKeys});
  EXPECT_THAT(functions_of_top_sites(report, 0.9),
              testing::IsSupersetOf({std::string("dbAdd"), std::string("setCommand"),
                                     std::string("processCommand")}));
  EXPECT_THAT(harmful_losses(report), testing::IsEmpty());
}

TEST_F(RealPrograms, RedisBenchmarkRunsUnderTracing) {
  if (!std::filesystem::exists("/usr/bin/redis-benchmark")) {
    GTEST_SKIP() << "redis-benchmark is not installed";
  }
  Redis redis(dir_);
  ASSERT_TRUE(redis.ready());
  Attached attached({redis.pid()}, exactly());
  const Outcome benchmark =
      run_command({"redis-benchmark", "-s", dir_.file("redis.sock"), "-n", "20000", "-c", "20",
                   "-t", "set,get,lpush", "-r", "5000", "-q"});
  EXPECT_EQ(benchmark.status, 0) << benchmark.err;
  const std::string length = redis.ask({"LLEN", "mylist"});
  const Report report = attached.stop();
  EXPECT_EQ(length, "20000\n");
  EXPECT_THAT(harmful_losses(report), testing::IsEmpty());
  EXPECT_TRUE(redis.running());
}

/// CPython is stripped, but its dynamic symbols remain.
TEST_F(RealPrograms, PythonsGrowingListIsFound) {
  if (!std::filesystem::exists(kPython)) GTEST_SKIP() << "python3 is not installed";
  const std::string script =
      "import os, signal\n"
      "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})\n"
      "print('ready', os.getpid(), flush=True)\n"
      "signal.sigwait({signal.SIGUSR1})\n"
      "held = []\n"
      "for i in range(20000): held.append(bytearray(2000))\n"
      "print('done', sum(map(len, held)), flush=True)\n"
      "signal.sigwait({signal.SIGTERM})\n";
  Process python({kPython, "-c", script});
  ASSERT_TRUE(python.wait_for_line("ready"));
  Attached attached({python.pid()}, exactly());
  python.signal(SIGUSR1);
  EXPECT_EQ(python.wait_for_line("done", Seconds(60)), "40000000");
  const Report report = attached.stop();
  EXPECT_THAT(harmful_losses(report), testing::IsEmpty());

  const Amount arrays = report.outstanding("PyByteArray_Resize");
  EXPECT_EQ(arrays.count, 20000U);
  EXPECT_GE(arrays.bytes, 20000U * 2000U);
  EXPECT_LE(arrays.bytes, 20000U * 2100U);
  for (const auto& site : report.stacks_with("PyByteArray_Resize")) {
    EXPECT_THAT(site.at("stack").at(0).at("module").get<std::string>(),
                testing::HasSubstr("python"));
    EXPECT_EQ(site.at("stack_complete"), true);
  }
  python.signal(SIGTERM);
  EXPECT_EQ(python.wait().status, 0);
}

TEST_F(RealPrograms, TheLeakyServersLeakIsNamedUnderLoad) {
  Process server({testprog("leaky_server"), "--cached-pages", "200"});
  const auto port = server.wait_for_line("listening");
  ASSERT_TRUE(port);
  Attached attached({server.pid()}, exactly());
  const Outcome load =
      run_command({testprog("load_client"), "--port", *port, "--rate", "1000", "--seconds", "4"});
  EXPECT_EQ(load.status, 0) << load.out << load.err;
  const Report report = attached.stop();
  // Each login leaves a session: the struct, its profile, its place in the table.
  std::size_t at = load.out.find("logins ");
  ASSERT_NE(at, std::string::npos);
  const std::uint64_t logins = std::stoull(load.out.substr(at + 7));
  const Amount sessions = report.outstanding("remember");
  EXPECT_GE(sessions.bytes, logins * 2048);
  EXPECT_GE(sessions.count, logins * 3);
  EXPECT_LT(report.outstanding("handle_render").count, 50U);
  EXPECT_LE(report.outstanding("cache_lookup").bytes, 200U * 1600U + 65536U);
  ASSERT_FALSE(report.json().at("sites").empty());
  EXPECT_THAT(Report::functions(report.json().at("sites").at(0)),
              testing::Contains(testing::HasSubstr("SessionStore::remember")));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait().status, 0);
}

}  // namespace
}  // namespace leaktrace::runtime
