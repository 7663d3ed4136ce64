// SPDX-License-Identifier: Apache-2.0
//
// Uses several sessions at random, and says after every hundred operations what they have open:
//
//   pg_random CONNINFO [--seed N] [--operations N] [--connections N] [--wait] [--step]
//             [--log FOLDER]
//
// With --wait it prints "ready PID" and begins at SIGUSR1. At each checkpoint it prints
//
//   checkpoint K
//   connection INDEX 0xHANDLE
//   cursor INDEX hold|transaction NAME     from its own pg_cursors
//   statement INDEX NAME                   from its own pg_prepared_statements
//   unasked INDEX                          its transaction has failed: it cannot be asked
//   end K
//
// and, with --step, goes on at SIGUSR1. With --log the messages of each session go to a file. At
// the end it finishes every session and prints "done PID".
#include <cinttypes>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../testprog.h"
#include "pg_client.h"
#include "random_session.h"

namespace {

constexpr std::size_t kBetweenCheckpoints = 100;

struct Options {
  std::uint64_t seed = 1;
  std::size_t operations = 10000;
  std::size_t connections = 8;
  bool wait = false;
  bool step = false;
  std::string log;  ///< folder in which each session's messages are written to file INDEX
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 0; };
    if (word == "--seed") options.seed = value();
    if (word == "--operations") options.operations = value();
    if (word == "--connections") options.connections = value();
    if (word == "--log" && i + 1 < argc) options.log = argv[++i];
    if (word == "--wait") options.wait = true;
    if (word == "--step") options.step = true;
  }
  return options;
}

using Sessions = std::vector<std::unique_ptr<RandomSession>>;

void say_checkpoint(std::size_t number, const Sessions& sessions) {
  std::printf("checkpoint %zu\n", number);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    PGconn* connection = sessions[i]->connection();
    const int index = static_cast<int>(i);
    std::printf("connection %d %p\n", index, static_cast<void*>(connection));
    session_counts counts{};
    if (can_be_asked(connection) != 0) {
      say_session(index, connection, &counts);
    } else {
      std::printf("unasked %d\n", index);
    }
  }
  std::printf("end %zu\n", number);
  std::fflush(stdout);
}

void run(const Options& options) {
  Dice dice(options.seed);
  Sessions sessions;
  for (std::size_t i = 0; i < options.connections; ++i) {
    const std::string file = options.log + "/" + std::to_string(i);
    std::FILE* log = options.log.empty() ? nullptr : std::fopen(file.c_str(), "w");
    sessions.push_back(std::make_unique<RandomSession>(dice, log));
  }
  for (std::size_t done = 1; done <= options.operations; ++done) {
    sessions[dice.below(sessions.size())]->step();
    if (done % kBetweenCheckpoints != 0) continue;
    for (const auto& session : sessions) session->settle();
    say_checkpoint(done / kBetweenCheckpoints, sessions);
    if (options.step) await_signal(SIGUSR1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  conninfo = argv[1];
  const Options options = read_options(argc, argv);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  if (options.wait) {
    say_pid("ready");
    await_signal(SIGUSR1);
  }
  run(options);
  say_pid("done");
  return 0;
}
