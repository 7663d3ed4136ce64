// SPDX-License-Identifier: Apache-2.0
#include "user/base/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace leaktrace {
namespace {

using ::testing::HasSubstr;

/// Answers each message with the errno of what its type names, and with its own pid.
enum Task : std::uint32_t {
  kEcho,
  kOpenPasswd,
  kOpenOwn,
  kMakeFile,
  kMakeSocket,
  kFork,
  kExecute,
  kKillParent,
  kCrash,
  kThrow,
  kFillMemory,
  kSpin,
};

int try_to(bool worked) {
  return worked ? 0 : errno;
}

int do_task(const Message& message) {
  switch (message.type) {
    case kOpenPasswd:
      return try_to(::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    case kOpenOwn: {
      const std::string path = "/proc/self/fd/" + std::to_string(message.fds.at(0).get());
      const UniqueFd copy(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      char first = 0;
      return copy && ::pread(copy.get(), &first, 1, 0) == 1 ? first : -1;
    }
    case kMakeFile:
      return try_to(::creat("/tmp/leaktrace_sandbox_test", 0600) >= 0);
    case kMakeSocket:
      return try_to(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
    case kFork:
      return try_to(::fork() >= 0);
    case kExecute:
      return try_to(::execl("/bin/true", "true", nullptr) >= 0);
    case kKillParent:
      return try_to(::syscall(SYS_kill, 1, 0) == 0);
    case kCrash:
      ::raise(SIGSEGV);
      return 0;
    case kThrow:
      throw 1;
    case kFillMemory: {
      std::vector<std::unique_ptr<char[]>> blocks;
      for (;;) blocks.emplace_back(new char[std::size_t{64} << 20]);  // never touched
    }
    case kSpin:
      for (;;) (void)::getpid();
    default:
      return 0;
  }
}

void serve(int socket) {
  for (;;) {
    auto message = receive_message(socket, {.takes_fds = true, .go_on = {}});
    if (!message || !*message) return;
    Packer packer;
    packer.number(static_cast<std::uint64_t>(do_task(**message)));
    packer.number(static_cast<std::uint64_t>(::getpid()));
    (void)send_message(socket, 0, packer.bytes());
  }
}

std::string comm_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("PPid:")) return std::stoi(line.substr(5));
  }
  return -1;
}

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto sandbox = Sandbox::create({.name = "lt-test", .body = &serve});
    ASSERT_TRUE(sandbox);
    sandbox_ = std::move(*sandbox);
  }
  std::int64_t ask(std::uint32_t task, int fd = -1) { return ask(*sandbox_, task, fd); }
  /// What the worker answers; -1 when it does not.
  std::int64_t ask(Sandbox& sandbox, std::uint32_t task, int fd = -1) {
    if (!send_message(sandbox.socket(), task, "body", {&fd, fd < 0 ? 0U : 1U})) return -1;
    auto answer = receive_message(sandbox.socket());
    if (!answer || !*answer) return -1;
    Unpacker body((*answer)->body);
    const auto result = static_cast<std::int64_t>(body.number());
    worker_ = static_cast<pid_t>(body.number());
    return result;
  }
  std::unique_ptr<Sandbox> sandbox_;
  pid_t worker_ = 0;  ///< that answered last
};

TEST_F(SandboxTest, AnswersAndMayDoNothingElse) {
  EXPECT_EQ(ask(kEcho), 0);
  EXPECT_EQ(ask(kOpenPasswd), EACCES);
  EXPECT_EQ(ask(kMakeFile), EPERM);
  EXPECT_EQ(ask(kMakeSocket), EPERM);
  EXPECT_EQ(ask(kFork), EPERM);
  EXPECT_EQ(ask(kExecute), EPERM);
  EXPECT_EQ(ask(kKillParent), EPERM);
}

TEST_F(SandboxTest, ReadsWhatItIsSentByPathToo) {
  const UniqueFd file(::open("/proc/self/comm", O_RDONLY | O_CLOEXEC));
  char first = 0;
  ASSERT_EQ(::pread(file.get(), &first, 1, 0), 1);
  EXPECT_EQ(ask(kOpenOwn, file.get()), first);
}

TEST_F(SandboxTest, HasNoPrivilege) {
  ASSERT_EQ(ask(kEcho), 0);
  std::ifstream status("/proc/" + std::to_string(worker_) + "/status");
  std::string text((std::istreambuf_iterator<char>(status)), {});
  for (const char* line :
       {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(SandboxTest, IsStartedAnewAfterACrash) {
  EXPECT_EQ(ask(kCrash), -1);
  EXPECT_EQ(sandbox_->end(true), "crashed (SIGSEGV)");
  EXPECT_EQ(ask(kEcho), 0);
  EXPECT_EQ(ask(kThrow), -1);
  EXPECT_EQ(sandbox_->end(true), "crashed (SIGABRT)");
  EXPECT_EQ(ask(kEcho), 0);
}

TEST_F(SandboxTest, IsStartedAnewAfterItWasKilled) {
  ASSERT_EQ(ask(kEcho), 0);
  const pid_t first = worker_;
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  EXPECT_EQ(ask(kEcho), -1);
  EXPECT_EQ(sandbox_->end(true), "was killed (SIGKILL)");
  EXPECT_EQ(ask(kEcho), 0);
  EXPECT_NE(worker_, first);
}

TEST_F(SandboxTest, ItsMemoryIsBounded) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's memory has no such bound";
#endif
  EXPECT_EQ(ask(kFillMemory), -1);
  EXPECT_THAT(sandbox_->end(true), HasSubstr("took more memory than it may"));
  EXPECT_EQ(ask(kEcho), 0);
}

TEST_F(SandboxTest, OneThatHangsIsSeenByItsCpuTimeAndEnded) {
  ASSERT_TRUE(send_message(sandbox_->socket(), kSpin, ""));
  const auto answer = receive_message(
      sandbox_->socket(), {.go_on = [&] { return sandbox_->cpu_seconds().value_or(1) < 0.1; }});
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
  EXPECT_EQ(sandbox_->end(false), "was killed (SIGKILL)");
  EXPECT_EQ(ask(kEcho), 0);
}

TEST_F(SandboxTest, EndsWithTheOneWhoMadeIt) {
  ASSERT_EQ(ask(kEcho), 0);
  sandbox_.reset();
  EXPECT_EQ(::kill(worker_, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(SandboxTest, OnesThatAreMadeTogetherHaveOneKeeperAndWorkersOfTheirOwn) {
  auto both =
      Sandbox::create({{.name = "lt-one", .body = &serve}, {.name = "lt-two", .body = &serve}});
  ASSERT_TRUE(both);
  Sandbox& one = *both->at(0);
  Sandbox& two = *both->at(1);
  ASSERT_EQ(ask(one, kEcho), 0);
  const pid_t first = worker_;
  ASSERT_EQ(ask(two, kEcho), 0);
  const pid_t second = worker_;
  EXPECT_EQ(comm_of(first), "lt-one");
  EXPECT_EQ(comm_of(second), "lt-two");
  EXPECT_EQ(parent_of(first), parent_of(second));
  EXPECT_EQ(ask(one, kCrash), -1);
  EXPECT_EQ(one.end(true), "crashed (SIGSEGV)");
  ASSERT_EQ(ask(two, kEcho), 0);
  EXPECT_EQ(worker_, second) << "it has nothing to do with the other";
  both->at(0).reset();
  EXPECT_EQ(ask(two, kEcho), 0);
}

TEST(MessageTest, WhatDoesNotMakeSenseIsRefused) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  ASSERT_TRUE(send_message(pair->here.get(), 7, std::string(1000, 'x')));
  EXPECT_FALSE(receive_message(pair->there.get(), {.most_bytes = 999, .go_on = {}}));
  Packer packer;
  packer.number(1U << 30);
  Unpacker text(packer.bytes());
  EXPECT_EQ(text.text(), "");
  EXPECT_FALSE(text.ok());
}

TEST(MessageTest, DescriptorsThatAreNotWantedAreClosed) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  const int fd = STDIN_FILENO;
  ASSERT_TRUE(send_message(pair->here.get(), 1, "", {&fd, 1}));
  auto message = receive_message(pair->there.get());
  ASSERT_TRUE(message && *message);
  EXPECT_TRUE((*message)->fds.empty());
}

}  // namespace
}  // namespace leaktrace
