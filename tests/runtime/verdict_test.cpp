// SPDX-License-Identifier: Apache-2.0
//
// What leaktrace says of programs whose growth is known, as they run.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Longer than the least time that a rise must have been watched.
constexpr const char* kTracedFor = "32";

std::vector<json> growing(const Report& report) {
  std::vector<json> found;
  for (const json& site : report.json().at("sites")) {
    if (site.at("verdict") == "growing") found.push_back(site);
  }
  return found;
}

/// A memory cgroup of this machine, of either version, with a limit; removed at the end, when what
/// was put into it must have ended.
class MemoryCgroup {
 public:
  explicit MemoryCgroup(std::uint64_t limit) {
    name_ = "/leaktrace-test-" + std::to_string(::getpid());
    for (const auto& [mount, file] :
         {std::pair{"/sys/fs/cgroup", "memory.max"},
          std::pair{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}}) {
      folder_ = mount + name_;
      std::error_code failed;
      std::filesystem::create_directory(folder_, failed);
      if (!failed && std::filesystem::exists(folder_ / file) && write(file, limit)) return;
      std::filesystem::remove(folder_, failed);
    }
    folder_.clear();
  }
  ~MemoryCgroup() {
    if (folder_.empty()) return;
    wait_until([this] { return ::rmdir(folder_.c_str()) == 0; }, Seconds(5));
  }
  MemoryCgroup(const MemoryCgroup&) = delete;
  MemoryCgroup& operator=(const MemoryCgroup&) = delete;

  [[nodiscard]] bool exists() const { return !folder_.empty(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool take(pid_t pid) const {
    return write("cgroup.procs", static_cast<std::uint64_t>(pid));
  }

 private:
  [[nodiscard]] bool write(const char* file, std::uint64_t number) const {
    std::ofstream out(folder_ / file);
    out << number << std::flush;
    return out.good();
  }

  std::string name_;
  std::filesystem::path folder_;
};

class Verdict : public RuntimeTest {};

void expect_growth_explained(const json& target) {
  const json& memory = target.at("memory");
  ASSERT_FALSE(memory.is_null());
  EXPECT_GT(memory.at("seconds"), 25);
  EXPECT_GT(memory.at("growth_bytes"), 4 << 20);
  EXPECT_EQ(memory.at("growth_bytes").get<std::int64_t>(),
            memory.at("growing_sites_bytes").get<std::int64_t>() +
                memory.at("other_sites_bytes").get<std::int64_t>() +
                memory.at("unexplained_bytes").get<std::int64_t>());
  EXPECT_GT(memory.at("growing_sites_bytes").get<double>(),
            0.8 * memory.at("growth_bytes").get<double>());
  const json& series = memory.at("series");
  EXPECT_GE(series.at("seconds").size(), 25U);
  for (const auto& [name, column] : series.items()) {
    EXPECT_EQ(column.size(), series.at("seconds").size()) << name;
  }
  EXPECT_GT(series.at("minor_faults").back(), series.at("minor_faults").front());
  EXPECT_GT(memory.at("minor_faults_per_second"), 0);
}

/// Of two processes, one leaks 1 KiB each 5 ms, beside as much that it gives back, and the other
/// allocates as fast as it can and keeps nothing. The first one has a memory limit.
TEST_F(Verdict, OfALeakIsGrowingAndOfChurnIsNot) {
  constexpr std::uint64_t kLimit = 256 << 20;
  const MemoryCgroup cgroup(kLimit);
  Process leaker({testprog("steady_leak")});
  Process storm({testprog("malloc_storm"), "2"});
  ASSERT_TRUE(leaker.wait_for_line("running"));
  ASSERT_TRUE(storm.wait_for_line("ready"));
  ASSERT_TRUE(!cgroup.exists() || cgroup.take(leaker.pid()));
  Attached attached({leaker.pid(), storm.pid()},
                    exactly({"--duration", kTracedFor, "--fail-on", "growing:1K/s"}));
  const Report report = attached.wait();
  EXPECT_EQ(attached.outcome().status, 3) << attached.outcome().err;
  EXPECT_THAT(attached.outcome().err, HasSubstr("leak_tick"));
  const std::vector<json> found = growing(report);
  ASSERT_EQ(found.size(), 1U) << report.json().at("sites").dump(1);
  const json& leak = found.front();
  EXPECT_EQ(leak, report.json().at("sites").at(0)) << "it is named first";
  EXPECT_EQ(leak.at("label"), "leak_tick");
  EXPECT_EQ(leak.at("pid"), leaker.pid());
  EXPECT_GE(leak.at("confidence"), 0.99);
  EXPECT_THAT(leak.at("evidence").get<std::string>(), HasSubstr("floor rose"));
  const json& growth = leak.at("growth");
  EXPECT_LE(growth.at("low"), growth.at("bytes_per_second"));
  EXPECT_GE(growth.at("high"), growth.at("bytes_per_second"));
  EXPECT_GT(growth.at("low"), 0);
  EXPECT_EQ(report.json().at("growing").at("sites"), 1);

  for (const json& target : report.json().at("target")) {
    if (target.at("pid") != leaker.pid()) continue;
    expect_growth_explained(target);
    const json& limit = target.at("memory").at("limit");
    const double left = limit.at("bytes").get<double>() - limit.at("used_bytes").get<double>();
    const double rate = growth.at("bytes_per_second").get<double>();
    EXPECT_NEAR(leak.at("seconds_to_limit"), left / rate, 1);
    EXPECT_NEAR(limit.at("seconds_left"), left / rate, 1);
    EXPECT_THAT(leak.at("evidence").get<std::string>(), HasSubstr("is reached in"));
    if (cgroup.exists()) {
      EXPECT_THAT(limit.at("cgroup").get<std::string>(), testing::EndsWith(cgroup.name()));
      EXPECT_EQ(limit.at("bytes"), kLimit);
    } else {
      std::cout << "no memory cgroup can be made here: the limit is the machine's\n";
    }
  }
}

/// The processes of growth_patterns by what they play.
struct Played {
  std::map<pid_t, std::string> leaks, keeps;

  explicit Played(const std::string& said) {
    std::istringstream words(said);
    for (std::string word; words >> word;) {
      if (word != "pattern") continue;
      pid_t pid = 0;
      std::string label, name;
      words >> pid >> label >> name;
      (label == "leaks" ? leaks : keeps)[pid] = name;
    }
  }
  [[nodiscard]] std::vector<pid_t> pids() const {
    std::vector<pid_t> all;
    for (const auto& side : {leaks, keeps}) {
      for (const auto& [pid, name] : side) all.push_back(pid);
    }
    return all;
  }
};

/// Is it a site of a pattern's blocks, and none that the play needs for itself?
bool is_played(const json& site) {
  return std::ranges::any_of(Report::functions(site), [](const std::string& function) {
    return is_function(function, "play_blocks");
  });
}

/// The labelled set of tests/series with real blocks, each pattern in a process of its own. Days
/// are played in a minute here, so some have fewer readings than the set says that a verdict takes:
/// how right it is when it has them, tests/bench/verdict says.
TEST_F(Verdict, OfTheLabelledSetPlayedWithRealBlocksIsRight) {
  Process patterns({testprog("growth_patterns"), "60", "1"});
  ASSERT_TRUE(patterns.wait_for_line("ready"));
  const Played played(patterns.out());
  ASSERT_GE(played.leaks.size(), 30U);
  ASSERT_GE(played.keeps.size(), 40U);
  Attached attached(played.pids(), exactly({"--interval", "100ms"}));
  patterns.signal(SIGUSR1);
  ASSERT_TRUE(patterns.wait_for_line("done", Seconds(90)));
  const Report report = attached.stop();
  std::size_t found = 0;
  std::string found_words, accused;
  for (const json& site : report.json().at("sites")) {
    if (!is_played(site) || site.at("verdict") != "growing") continue;
    const auto pid = site.at("pid").get<pid_t>();
    found += played.leaks.count(pid);
    found_words += played.leaks.contains(pid) ? played.leaks.at(pid) + '\n' : "";
    if (!played.keeps.contains(pid)) continue;
    accused += played.keeps.at(pid) + ": " + site.at("evidence").get<std::string>() + '\n';
  }
  EXPECT_GE(static_cast<double>(found), 0.7 * static_cast<double>(played.leaks.size()))
      << "found:\n"
      << found_words;
  EXPECT_LE(std::ranges::count(accused, '\n'), 2) << accused;
  EXPECT_EQ(harmful_losses(report), (std::map<std::string, std::uint64_t>{}));
}

}  // namespace
}  // namespace leaktrace::runtime
