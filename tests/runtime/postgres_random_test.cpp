// SPDX-License-Identifier: Apache-2.0
//
// A client uses eight sessions at random, and after every hundred operations reads from each what
// it has open. leaktrace, which watches all the while, must have the same.
#include <gmock/gmock.h>
#include <signal.h>

#include <sstream>

#include "tests/runtime/postgres_truth.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::IsEmpty;

/// `leaktrace attach` that writes its report each interval.
class LiveReport {
 public:
  LiveReport(pid_t target, const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {
        "--verbose", "attach", "-p",     std::to_string(target), "--format", "json",           "-o",
        path(),      "--top",  "100000", "--interval",           "100ms",    "--each-interval"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    process_ = std::make_unique<Process>(leaktrace_command(arguments));
    const std::string attached = "attached to " + std::to_string(target) + ":";
    const auto said = [&] { return process_->err().find(attached) != std::string::npos; };
    wait_until([&] { return !process_->running() || said(); }, Seconds(60));
  }

  [[nodiscard]] bool running() { return process_->running(); }
  [[nodiscard]] std::string err() const { return process_->err(); }

  /// A report of which every reading was taken after this call.
  Report after_now() {
    const std::uint64_t now = intervals();
    const bool there =
        wait_until([&] { return !running() || intervals() >= now + 2; }, Seconds(30));
    if (!there || !running()) throw std::runtime_error("no new report: " + err());
    return Report(read_whole(path()));
  }

  Report stop() {
    process_->signal(SIGINT);
    outcome_ = process_->wait();
    return Report(read_whole(path()));
  }

 private:
  [[nodiscard]] std::string path() const { return dir_.file("report.json"); }

  /// Of the report that is there; 0: none is yet.
  [[nodiscard]] std::uint64_t intervals() const {
    const std::string text = read_whole(path());
    if (text.empty()) return 0;
    return json::parse(text).at("period").at("intervals").get<std::uint64_t>();
  }

  TempDir dir_;
  std::unique_ptr<Process> process_;
  Outcome outcome_;
};

class RandomClient {
 public:
  explicit RandomClient(const std::vector<std::string>& command) : process_(command) {}

  [[nodiscard]] Process& process() { return process_; }

  /// What was said from "checkpoint K" to "end K"; empty when that does not come.
  std::string checkpoint(int number) {
    const std::string begin = "checkpoint " + std::to_string(number) + "\n";
    const std::string end = "\nend " + std::to_string(number) + "\n";
    std::string said;
    wait_until(
        [&] {
          const bool over = !process_.running();
          const std::string out = process_.out();
          const std::size_t from = out.find(begin);
          if (from == std::string::npos || out.find(end, from) == std::string::npos) return over;
          said = out.substr(from);
          return true;
        },
        Seconds(60));
    return said;
  }

 private:
  Process process_;
};

/// In what the two differ, a line each.
std::string difference(const SessionNames& said, const SessionNames& reported) {
  std::ostringstream out;
  for (const auto& [handle, names] : said) {
    const auto found = reported.find(handle);
    const OpenNames seen = found == reported.end() ? OpenNames{} : found->second;
    if (seen == names) continue;
    out << handle << " has    " << names << "\n" << handle << " report " << seen << "\n";
  }
  return out.str();
}

class RandomOperations : public PostgresTest, public testing::WithParamInterface<int> {};

TEST_P(RandomOperations, LeaveOpenWhatTheServerSays) {
  constexpr int kCheckpoints = 100;
  RandomClient client(
      PostgresTest::client("pg_random", {"--seed", std::to_string(GetParam()), "--operations",
                                         std::to_string(100 * kCheckpoints), "--wait", "--step"}));
  ASSERT_TRUE(client.process().wait_for_line("ready"));
  LiveReport live(client.process().pid(), {"--kinds", "pg", "--budget", "off"});
  ASSERT_TRUE(live.running()) << live.err();

  std::size_t compared = 0;
  for (int number = 1; number <= kCheckpoints; ++number) {
    client.process().signal(SIGUSR1);
    const std::string text = client.checkpoint(number);
    ASSERT_FALSE(text.empty()) << client.process().err();
    const Report report = live.after_now();
    const SessionNames said = sessions_said(text);
    const std::string differs = difference(said, sessions_reported(report));
    // What differs once differs for long: the first time tells most.
    ASSERT_EQ(differs, "") << "checkpoint " << number << ", losses "
                           << testing::PrintToString(report.losses());
    EXPECT_EQ(outstanding_of(report, "pg.connection"), 8U);
    EXPECT_EQ(outstanding_of(report, "pg.result"), 0U);
    compared += said.size();
  }
  EXPECT_GT(compared, 5U * kCheckpoints);  // few could not be asked

  client.process().signal(SIGUSR1);
  ASSERT_TRUE(client.process().wait_for_line("done"));
  EXPECT_EQ(client.process().wait().status, 0) << client.process().err();
  const Report last = live.stop();
  EXPECT_EQ(outstanding_of(last, "pg."), 0U);
  EXPECT_THAT(harmful_losses(last), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomOperations, testing::Values(1));

/// Without a live report: what is left at the end.
class RandomRuns : public PostgresTest {};

TEST_F(RandomRuns, LeaveNothing) {
  const TracedRun traced = run_traced(client("pg_random", {"--seed", "3"}), {"--kinds", "pg"});
  ASSERT_EQ(traced.outcome.status, 0) << traced.outcome.err;
  const Report report = traced.report();
  EXPECT_EQ(outstanding_of(report, "pg."), 0U);
  EXPECT_GT(acquired_of(report, "pg.cursor"), 500U);
  EXPECT_GT(acquired_of(report, "pg.statement"), 500U);
  EXPECT_GT(acquired_of(report, "pg.result"), 5000U);
  EXPECT_THAT(harmful_losses(report), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::runtime
