// SPDX-License-Identifier: Apache-2.0
// Perf maps of processes: this one's, one in a container's, and that of a real node.
#include "user/symbolize/perf_map.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "tests/unit/symbolize/fixture.h"
#include "user/symbolize/remote_jit_maps.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using model::SourceFrame;

/// A child that is ended with the test.
class Child {
 public:
  explicit Child(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (::posix_spawnp(&pid_, argv[0], nullptr, &attributes, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawnattr_destroy(&attributes);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

/// What `ask` says, asked again until it says something or half a minute is over.
template <typename Ask>
auto eventually(Ask ask) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  auto answer = ask();
  while (!answer && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    answer = ask();
  }
  return answer;
}

std::optional<PerfMap> open_map(pid_t pid) {
  return PerfMap::open(pid, std::make_shared<JitMaps>());
}

class OwnPerfMap : public ::testing::Test {
 protected:
  OwnPerfMap() { fs::remove(path_); }
  ~OwnPerfMap() override { fs::remove(path_); }
  void write(const std::string& text, std::ios::openmode mode = std::ios::trunc) const {
    std::ofstream(path_, mode) << text;
  }
  const fs::path path_ = fmt::format("/tmp/perf-{}.map", ::getpid());
};

TEST_F(OwnPerfMap, IsReadAndSplit) {
  EXPECT_FALSE(open_map(::getpid()));
  write("1000 20 JS:*leak /srv/app.js:9:1\n");
  auto map = open_map(::getpid());
  ASSERT_TRUE(map);
  EXPECT_EQ(map->look_up(0x1010),
            (SourceFrame{.function = "leak", .file = "/srv/app.js", .line = 9, .inlined = false}));
  EXPECT_EQ(map->look_up(0x1020), std::nullopt);
  EXPECT_EQ(map->loss(), std::nullopt);
}

TEST_F(OwnPerfMap, IsReadOnWhenItGrows) {
  write("1000 10 a\n2000 10 b");
  auto map = open_map(::getpid());
  ASSERT_TRUE(map);
  EXPECT_FALSE(map->look_up(0x2000)) << "the line is not whole yet";
  write("ee\n3000 10 c\n", std::ios::app);
  ASSERT_TRUE(map->refresh());
  EXPECT_EQ(map->look_up(0x2000)->function, "bee");
  EXPECT_EQ(map->look_up(0x3000)->function, "c");
  EXPECT_EQ(map->look_up(0x1000)->function, "a");
}

TEST_F(OwnPerfMap, IsReadAnewWhenItIsAnotherOrShorter) {
  write("1000 10 a\n2000 10 b\n");
  auto map = open_map(::getpid());
  ASSERT_TRUE(map);
  write("3000 10 c\n");
  ASSERT_TRUE(map->refresh());
  EXPECT_FALSE(map->look_up(0x1000));
  EXPECT_EQ(map->look_up(0x3000)->function, "c");
  const fs::path other = path_.string() + ".new";
  std::ofstream(other) << "3000 10 d\n4000 10 e\n";
  fs::rename(other, path_);
  ASSERT_TRUE(map->refresh());
  EXPECT_EQ(map->look_up(0x3000)->function, "d");
  fs::remove(path_);
  ASSERT_TRUE(map->refresh());
  EXPECT_EQ(map->look_up(0x3000)->function, "d") << "the names stay";
}

TEST_F(OwnPerfMap, IsReadOverManyPieces) {
  constexpr int kNames = 50'000;  // 1.4 MB
  std::string text;
  for (int i = 0; i < kNames; ++i)
    text += fmt::format("{:x} 10 function_{}\n", 0x10000 + i * 16, i);
  write(text);
  auto map = open_map(::getpid());
  ASSERT_TRUE(map);
  for (int i = 0; i < kNames; ++i) {
    ASSERT_EQ(map->look_up(0x10000 + static_cast<unsigned>(i) * 16)->function,
              fmt::format("function_{}", i));
  }
}

TEST_F(OwnPerfMap, NamesWhatWasNotUnderstood) {
  write("this is\nnot a map\n1000 10 a\n");
  auto map = open_map(::getpid());
  ASSERT_TRUE(map);
  ASSERT_TRUE(map->loss());
  EXPECT_EQ(map->loss()->path, path_);
  EXPECT_EQ(map->loss()->count, 2U);
  EXPECT_EQ(map->loss()->subject, model::FileSubject::symbols);
}

/// One whose maps another process reads.
class RemotePerfMap : public OwnPerfMap {
 protected:
  void make(const WorkBounds& bounds, const SandboxWork& work = RemoteJitMaps::work()) {
    auto sandbox = Sandbox::create(work);
    ASSERT_TRUE(sandbox);
    names_ = std::make_shared<RemoteJitMaps>(std::move(*sandbox), bounds);
  }
  /// The child of the keeper that was forked last.
  static pid_t worker() {
    const auto keepers = children_of(::getpid());
    const auto workers = keepers.empty() ? keepers : children_of(keepers.back());
    EXPECT_EQ(workers.size(), 1U);
    return workers.empty() ? -1 : workers.front();
  }
  static std::vector<pid_t> children_of(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{0}/task/{0}/children", pid));
    return {std::istream_iterator<pid_t>(file), {}};
  }
  std::shared_ptr<RemoteJitMaps> names_;
};

TEST_F(RemotePerfMap, IsReadAsThisProcessWould) {
  make({});
  EXPECT_FALSE(PerfMap::open(::getpid(), names_));
  EXPECT_TRUE(children_of(children_of(::getpid()).back()).empty()) << "there was nothing to read";
  write("no line\n1000 20 JS:*leak /srv/app.js:9:1\n2000 10 b");
  auto map = PerfMap::open(::getpid(), names_);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->look_up(0x1010),
            (SourceFrame{.function = "leak", .file = "/srv/app.js", .line = 9, .inlined = false}));
  EXPECT_EQ(map->look_up(0x1020), std::nullopt);
  write("ee\n", std::ios::app);
  ASSERT_TRUE(map->refresh());
  EXPECT_EQ(map->look_up(0x2000)->function, "bee");
  EXPECT_EQ(map->loss()->count, 1U);
}

TEST_F(RemotePerfMap, IsReadAgainWhenTheProcessWasKilledAndSaysSo) {
  make({});
  write("1000 10 a\n");
  auto map = PerfMap::open(::getpid(), names_);
  ASSERT_TRUE(map);
  ASSERT_EQ(::kill(worker(), SIGKILL), 0);
  ASSERT_TRUE(map->look_up(0x1000));
  EXPECT_EQ(map->look_up(0x1000)->function, "a");
  EXPECT_EQ(map->loss()->why, "the process that reads it was killed (SIGKILL)");
  EXPECT_EQ(map->loss()->path, path_);
}

TEST_F(RemotePerfMap, ThatEndsTheProcessAgainAndAgainGivesNoMoreNames) {
  make({});
  write("1000 10 a\n");
  auto map = PerfMap::open(::getpid(), names_);
  ASSERT_TRUE(map);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(::kill(worker(), SIGSEGV), 0);
    (void)map->look_up(0x1000);
  }
  EXPECT_FALSE(map->look_up(0x1000));
  EXPECT_EQ(map->loss()->why,
            "it gives no more names: the process that reads it crashed (SIGSEGV)");
}

TEST_F(RemotePerfMap, ThatTakesTooLongIsNotWaitedFor) {
  make({.cpu_seconds = 0.1}, {.name = "lt-perf-maps", .body = [](int socket) {
                                auto question = receive_message(socket);
                                for (;;) (void)::getpid();
                              }});
  write("1000 10 a\n");
  const auto map = PerfMap::open(::getpid(), names_);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->loss()->why,
            "the process that reads it took longer than it may (0.1 s of CPU time)");
}

TEST_F(OwnPerfMap, ThroughALinkIsNotRead) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "real.map") << "1000 10 a\n";
  fs::create_symlink(folder.path() / "real.map", path_);
  EXPECT_FALSE(open_map(::getpid()));
}

TEST_F(OwnPerfMap, ThatIsAPipeOrAFolderIsNotOpened) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(open_map(::getpid()));
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_FALSE(open_map(::getpid()));
}

TEST_F(OwnPerfMap, OfAnotherUserIsNotRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "giving a file away takes root";
  write("1000 10 a\n");
  ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_FALSE(open_map(::getpid()));
}

TEST(PerfMap, OfAProcessThatIsGoneIsNone) {
  EXPECT_FALSE(open_map(0x3fffffff));
}

TEST(PerfMap, OfAContainerIsFoundByItsOwnPidAndFolder) {
  const std::string container = "unshare --user --map-root-user --pid --fork --mount ";
  if (std::system((container + "true 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "namespaces cannot be made here";
  }
  const Child child({"sh", "-c",
                     "exec " + container +
                         "sh -c 'mount -t tmpfs tmp /tmp && echo 1000 10 inner >/tmp/perf-1.map && "
                         "sleep 60; true'"});
  ASSERT_GT(child.pid(), 0);
  const std::string children = fmt::format("/proc/{0}/task/{0}/children", child.pid());
  auto map = eventually([&] {
    pid_t inner = 0;
    std::ifstream(children) >> inner;
    return inner > 0 ? open_map(inner) : std::nullopt;
  });
  ASSERT_TRUE(map);
  ASSERT_TRUE(map->look_up(0x1000));
  EXPECT_EQ(map->look_up(0x1000)->function, "inner");
}

TEST(PerfMap, OfNodeNamesFunctionsWithFileAndLine) {
  if (!have_program("node")) GTEST_SKIP() << "node is not installed";
  const TemporaryFolder folder;
  const std::string script = folder.path() / "leaky app.js";
  std::ofstream(script) << "const kept = [];\n"
                           "function remember_session(n) { kept.push([n]); return kept.length; }\n"
                           "for (let i = 0; i < 20000; i++) remember_session(i);\n"
                           "setInterval(() => {}, 1000);\n";
  const Child node(
      {"node", "--perf-basic-prof", "--logfile=/dev/null", "--no-logfile-per-isolate", script});
  ASSERT_GT(node.pid(), 0);
  const auto map_path = fmt::format("/tmp/perf-{}.map", node.pid());
  const auto line = eventually([&]() -> std::optional<std::string> {
    std::ifstream text(map_path);
    for (std::string one; std::getline(text, one);) {
      if (one.find("remember_session") != std::string::npos && !text.eof()) return one;
    }
    return std::nullopt;
  });
  auto map = open_map(node.pid());
  fs::remove(map_path);
  ASSERT_TRUE(line) << "node wrote no such function";
  ASSERT_TRUE(map);
  const auto frame = map->look_up(std::stoull(*line, nullptr, 16));
  ASSERT_TRUE(frame) << *line;
  EXPECT_EQ(frame->function, "remember_session");
  EXPECT_EQ(frame->file, script);
  EXPECT_EQ(frame->line, 2U);
  EXPECT_EQ(map->loss(), std::nullopt);
}

}  // namespace
}  // namespace leaktrace::symbolize::test
