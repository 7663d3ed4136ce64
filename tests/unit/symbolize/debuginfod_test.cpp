// SPDX-License-Identifier: Apache-2.0
// Debug files from a real server on this machine.
#include "user/symbolize/debuginfod.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(fd.get(), generic, sizeof(address)), 0);
  EXPECT_EQ(::getsockname(fd.get(), generic, &size), 0);
  return ntohs(address.sin_port);
}

/// The first line of what the server answers, empty when there is none yet.
std::string get(std::uint16_t port, const std::string& path) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return {};
  }
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const std::string request = fmt::format("GET {} HTTP/1.0\r\n\r\n", path);
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  std::string line(64, '\0');
  const ssize_t n = ::recv(fd.get(), line.data(), line.size(), 0);
  line.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return line.substr(0, line.find('\r'));
}

/// Moves this thread into a network of its own that has nothing but loopback: the server cannot be
/// told to listen there only (0.188). False when the kernel or the user do not allow it.
bool enter_own_network() {
  const int with_user = ::geteuid() == 0 ? 0 : CLONE_NEWUSER;
  if (::unshare(CLONE_NEWNET | with_user) != 0) return false;
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

bool always(const Debuginfod::Progress&) {
  return true;
}

class DebuginfodClient : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("debuginfod")) GTEST_SKIP() << "debuginfod is not installed";
    if (!enter_own_network()) GTEST_SKIP() << "needs network namespaces";
    ::setenv("DEBUGINFOD_CACHE_PATH", (folder_.path() / "cache").c_str(), 1);
    ::setenv("DEBUGINFOD_URLS", fmt::format("http://127.0.0.1:{}", port_).c_str(), 1);
    fs::create_directories(folder_.path() / "served");
    run(fmt::format(
        "cd '{}' && objcopy --only-keep-debug '{}' served/prog.debug && strip -o prog '{}'",
        folder_.path().string(), fixture("chain.dwarf5").string(),
        fixture("chain.dwarf5").string()));
    build_id_ = output_of(
        fmt::format("readelf -n '{}' | sed -n 's/ *Build ID: *//p' | tr -d '\\n'", prog_.string()));
  }
  ~DebuginfodClient() override {
    if (server_ <= 0) return;
    ::kill(server_, SIGKILL);
    ::waitpid(server_, nullptr, 0);
  }
  /// Returns when the server serves the debug file.
  void start_server() {
    // Without servers of its own to pass a question on to: it would be its own.
    std::vector<std::string> words = {"env",
                                      "-u",
                                      "DEBUGINFOD_URLS",
                                      "debuginfod",
                                      "-d",
                                      folder_.path() / "index.sqlite",
                                      "-p",
                                      std::to_string(port_),
                                      "-F",
                                      folder_.path() / "served"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    ASSERT_EQ(::posix_spawnp(&server_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 300; ++i) {
      if (get(port_, "/buildid/" + build_id_ + "/debuginfo").ends_with("200 OK")) return;
      std::this_thread::sleep_for(100ms);
    }
    FAIL() << "the server did not index the file in half a minute";
  }

  TemporaryFolder folder_;
  fs::path prog_ = folder_.path() / "prog";
  std::string build_id_;
  std::uint16_t port_ = free_port();
  pid_t server_ = -1;
};

TEST_F(DebuginfodClient, NamesComeWhenTheFileIsHere) {
  start_server();
  auto debuginfod = Debuginfod::create();
  ASSERT_TRUE(debuginfod) << debuginfod.error().message();
  LocalSymbolizer symbolizer;
  symbolizer.use(std::move(*debuginfod));
  symbolizer.add_module({kModule, prog_, "", {}, {}});
  const std::uint64_t address = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  EXPECT_EQ(symbolizer.look_up(kModule, address).size(), 1U) << "it must not wait";
  EXPECT_TRUE(symbolizer.debuginfod()->wait(30s, always));
  EXPECT_EQ(symbolizer.debuginfod()->progress().done, 1U);
  const auto frames = symbolizer.look_up(kModule, address);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[3].function, "shapes::holder(int)");
  EXPECT_TRUE(symbolizer.file_losses().empty());
}

TEST_F(DebuginfodClient, WhatNoServerHasIsALossAndAskedForOnce) {
  start_server();
  fs::remove_all(folder_.path() / "served");
  auto debuginfod = Debuginfod::create();
  ASSERT_TRUE(debuginfod);
  LocalSymbolizer symbolizer;
  symbolizer.use(std::move(*debuginfod));
  run(fmt::format("strip -o '{}' '{}'", prog_.string(), fixture("chain.dwarf4").string()));
  symbolizer.add_module({kModule, prog_, "", {}, {}});
  (void)symbolizer.look_up(kModule, 0x1150);
  EXPECT_TRUE(symbolizer.debuginfod()->wait(30s, always));
  (void)symbolizer.look_up(kModule, 0x1150);
  (void)symbolizer.look_up(kModule, 0x1151);
  EXPECT_EQ(symbolizer.debuginfod()->progress().asked, 1U);
  const auto losses = symbolizer.file_losses();
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].path, prog_);
  EXPECT_THAT(losses[0].why, HasSubstr("servers do not have it"));
}

TEST_F(DebuginfodClient, AServerThatDoesNotAnswerKeepsNobodyWaiting) {
  // It takes connections and says nothing.
  const UniqueFd mute(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port_);
  ASSERT_EQ(::bind(mute.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(mute.get(), 4), 0);
  auto debuginfod = Debuginfod::create();
  ASSERT_TRUE(debuginfod);
  EXPECT_EQ((*debuginfod)->fetch(build_id_).state, Debuginfod::State::pending);
  int asked = 0;
  EXPECT_FALSE((*debuginfod)->wait(60s, [&](const auto&) { return ++asked < 3; }));
  EXPECT_EQ(asked, 3) << "the user may break it off";
  const auto start = std::chrono::steady_clock::now();
  debuginfod->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
}

TEST(Debuginfod, WithoutAServerIsAnError) {
  ::unsetenv("DEBUGINFOD_URLS");
  const auto debuginfod = Debuginfod::create();
  ASSERT_FALSE(debuginfod);
  EXPECT_THAT(debuginfod.error().message(), HasSubstr("DEBUGINFOD_URLS"));
}

}  // namespace
}  // namespace leaktrace::symbolize::test
