// SPDX-License-Identifier: Apache-2.0
// SQL that another process reads is read as this one would have; what ends that process costs one
// text, and no more.
#include "user/postgres/remote_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/worker_process.h"
#include "user/postgres/sessions.h"

namespace leaktrace::postgres {
namespace {

using leaktrace::test::children_of;
using leaktrace::test::worker;

std::unique_ptr<RemoteSql> make_remote(const SandboxWork& work = RemoteSql::work(),
                                       const WorkBounds& bounds = {.cpu_seconds = 3}) {
  auto sandbox = Sandbox::create(work);
  EXPECT_TRUE(sandbox);
  return std::make_unique<RemoteSql>(std::move(*sandbox), bounds);
}

void expect_same(const ParsedSql& remote, const ParsedSql& local, const std::string& text) {
  EXPECT_EQ(remote.by_grammar, local.by_grammar) << text;
  EXPECT_EQ(remote.complete, local.complete) << text;
  ASSERT_EQ(remote.statements.size(), local.statements.size()) << text;
  for (std::size_t i = 0; i < local.statements.size(); ++i) {
    EXPECT_EQ(remote.statements[i].verb, local.statements[i].verb) << text;
    EXPECT_EQ(remote.statements[i].name, local.statements[i].name) << text;
    EXPECT_EQ(remote.statements[i].hold, local.statements[i].hold) << text;
    EXPECT_EQ(remote.statements[i].text.data(), local.statements[i].text.data()) << text;
    EXPECT_EQ(remote.statements[i].text.size(), local.statements[i].text.size()) << text;
  }
}

const std::vector<std::string> kTexts = {
    "",
    ";;",
    "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 'a;b'; COMMIT",
    "PREPARE \"a name of more than sixty-three bytes, which the server cuts at that length\" AS "
    "SELECT 1",
    "CLOSE a; SELECT 'never closed",
    "COPY t FROM STDIN -- comment",
    "SELECT \xff\xfe, 'x' FROM t",
    std::string("CLOSE a\0CLOSE b", 15),
    "SAVEPOINT s" + std::string(300'000, ' ') + "; RELEASE s",
};

TEST(RemoteSql, ReadsTextsAsThisProcessWould) {
  const auto remote = make_remote();
  for (const std::string& text : kTexts) {
    for (const bool cut : {false, true}) {
      expect_same(remote->parse(text, cut), parse_sql(text, cut), text);
    }
    EXPECT_EQ(remote->normalize(text, 40), normalize_sql(text, 40));
  }
}

TEST(RemoteSql, ATextThatEndsTheProcessIsNotParsedAndTheNextOneIs) {
  const auto remote = make_remote();
  ASSERT_TRUE(remote->parse("CLOSE a", false).by_grammar);
  ASSERT_EQ(::kill(worker(), SIGSEGV), 0);
  const ParsedSql lost = remote->parse("CLOSE b", false);
  EXPECT_FALSE(lost.by_grammar);
  EXPECT_FALSE(lost.complete);
  EXPECT_TRUE(lost.statements.empty());
  EXPECT_TRUE(remote->parse("CLOSE c", false).by_grammar);
  ASSERT_EQ(::kill(worker(), SIGKILL), 0);
  EXPECT_EQ(remote->normalize("SELECT 1", 100), "(not SQL)");
  EXPECT_EQ(remote->normalize("SELECT 1", 100), "SELECT $1");
}

TEST(RemoteSql, ATextThatTakesTooLongIsNotParsed) {
  const auto spins = [](int socket) {
    auto question = receive_message(socket);
    for (;;) (void)::getpid();
  };
  const auto remote =
      make_remote({.name = "lt-sql", .body = spins}, {.cpu_seconds = 0.1, .seconds = 60});
  EXPECT_FALSE(remote->parse("CLOSE a", false).by_grammar);
}

TEST(RemoteSql, AProcessThatStandsStillIsNotWaitedFor) {
  const auto sleeps = [](int socket) {
    auto question = receive_message(socket);
    auto never = receive_message(socket);
  };
  const auto remote =
      make_remote({.name = "lt-sql", .body = sleeps}, {.cpu_seconds = 60, .seconds = 0.3});
  EXPECT_FALSE(remote->parse("CLOSE a", false).by_grammar);
}

/// What a worker answers that is in the hands of a text.
ParsedSql parse_with(const std::function<void(Packer&)>& fill) {
  const auto lies = [&fill](int socket) {
    auto question = receive_message(socket);
    Packer answer;
    fill(answer);
    (void)send_message(socket, 1, answer.bytes());
    auto end = receive_message(socket);
  };
  const auto remote = make_remote({.name = "lt-sql", .body = lies});
  return remote->parse("CLOSE a", false);
}

struct Answered {
  std::uint64_t verb = static_cast<std::uint64_t>(Verb::close);
  std::string name = "a";
  std::uint64_t start = 0;
  std::uint64_t size = 7;
};

ParsedSql parse_with(const Answered& statement) {
  return parse_with([&](Packer& answer) {
    for (const std::uint64_t number : {1, 1, 1}) answer.number(number);
    answer.number(statement.verb);
    answer.text(statement.name);
    answer.number(0);
    answer.number(statement.start);
    answer.number(statement.size);
  });
}

TEST(RemoteSql, NothingThatMakesNoSenseIsBelieved) {
  EXPECT_EQ(parse_with(Answered{}).statements.at(0).text, "CLOSE a");
  EXPECT_FALSE(parse_with(Answered{.verb = 1000}).by_grammar);
  EXPECT_FALSE(parse_with(Answered{.name = std::string(64, 'x')}).by_grammar);
  EXPECT_FALSE(parse_with(Answered{.start = 1}).by_grammar);
  EXPECT_FALSE(parse_with(Answered{.start = UINT64_MAX}).by_grammar);
  EXPECT_FALSE(parse_with(Answered{.size = UINT64_MAX}).by_grammar);
  EXPECT_FALSE(parse_with([](Packer&) {}).by_grammar);
  EXPECT_FALSE(parse_with([](Packer& answer) {
                 for (const std::uint64_t number : {1ULL, 1ULL, 1ULL << 60}) answer.number(number);
               }).by_grammar);
}

TEST(RemoteSql, NoMoreProcessesAreStartedWhenTooManyEnded) {
  const auto dies = [](int socket) {
    auto question = receive_message(socket);
    ::_exit(1);
  };
  const auto remote = make_remote({.name = "lt-sql", .body = dies});
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(remote->parse("CLOSE a", false).by_grammar);
  EXPECT_EQ(children_of(children_of(::getpid()).back()), std::vector<pid_t>());
}

// The sessions go on: one command whose effect is not known is a loss.
TEST(RemoteSql, SessionsCountWhatWasNotParsed) {
  const std::shared_ptr<RemoteSql> remote = make_remote();
  Sessions sessions(SessionOptions{.sql = remote});
  const ConnectionKey connection{{1}, 1};
  const auto command = [&](const std::string& text, const std::string& tag) {
    Event event;
    event.connection = connection;
    event.stack = {1};
    event.type = EventType::command;
    event.command = CommandKind::query;
    event.text = text;
    sessions.apply(event);
    event.type = EventType::result;
    event.status = ResultStatus::command_ok;
    event.text = tag;
    sessions.apply(event);
    event.type = EventType::done;
    event.text = {};
    sessions.apply(event);
  };
  command("PREPARE a AS SELECT 1", "PREPARE");
  EXPECT_EQ(sessions.losses().unparsed, 0U);
  ASSERT_EQ(::kill(worker(), SIGKILL), 0);
  command("PREPARE b AS SELECT 1", "PREPARE");
  EXPECT_EQ(sessions.losses().unparsed, 1U);
  command("PREPARE c AS SELECT 1", "PREPARE");
  EXPECT_EQ(sessions.losses().unparsed, 1U);
}

}  // namespace
}  // namespace leaktrace::postgres
