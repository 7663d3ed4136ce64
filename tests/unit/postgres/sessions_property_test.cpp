// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/unit/postgres/session_invariants.h"
#include "user/postgres/event_log.h"

namespace leaktrace::postgres {
namespace {

constexpr std::array kTexts = {"BEGIN",
                               "COMMIT",
                               "ROLLBACK",
                               "SAVEPOINT s",
                               "SAVEPOINT t",
                               "RELEASE s",
                               "ROLLBACK TO s",
                               "ROLLBACK TO t",
                               "DECLARE c CURSOR FOR SELECT 1",
                               "DECLARE d CURSOR WITH HOLD FOR SELECT 1",
                               "CLOSE c",
                               "CLOSE ALL",
                               "PREPARE p AS SELECT 1",
                               "DEALLOCATE p",
                               "DEALLOCATE ALL",
                               "DISCARD ALL",
                               "COPY t FROM STDIN",
                               "BEGIN; DECLARE e CURSOR FOR SELECT 1; COMMIT",
                               "SELECT 1",
                               "UPSERT begin",
                               ""};
constexpr std::array kTags = {"",
                              "BEGIN",
                              "COMMIT",
                              "ROLLBACK",
                              "SAVEPOINT",
                              "RELEASE",
                              "DECLARE CURSOR",
                              "CLOSE CURSOR",
                              "CLOSE CURSOR ALL",
                              "PREPARE",
                              "DEALLOCATE",
                              "DEALLOCATE ALL",
                              "DISCARD ALL",
                              "COPY 1",
                              "SELECT 1",
                              "PREPARE TRANSACTION"};

class Events {
 public:
  explicit Events(std::uint64_t seed) : random_(seed) {}

  Event next() {
    Event event;
    event.type = type();
    event.connection = {{static_cast<std::uint32_t>(1 + below(2))}, 1 + below(4)};
    event.at_ns = ++now_;
    event.stack = {1 + below(6)};
    event.command = static_cast<CommandKind>(1 + below(9));
    event.ahead = static_cast<std::uint32_t>(one_in(50) ? below(100) : below(3));
    event.name = std::array{"", "c", "d", "p", "s"}[below(5)];
    const bool is_result = event.type == EventType::result;
    event.text = is_result ? kTags[below(kTags.size())] : kTexts[below(kTexts.size())];
    event.cut = one_in(20);
    event.unannounced = one_in(10);
    event.status = static_cast<ResultStatus>(one_in(3) ? below(13) : 1);
    event.transaction = static_cast<TransactionStatus>(below(5));
    event.broken = one_in(100);
    event.pipeline = one_in(4);
    event.lost = one_in(100);
    event.from_start = one_in(2);
    event.value = static_cast<std::int64_t>(below(3));
    return event;
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool one_in(std::uint64_t number) { return below(number) == 0; }

 private:
  EventType type() {
    const std::uint64_t roll = below(20);
    if (roll < 7) return EventType::command;
    if (roll < 13) return EventType::result;
    return roll < 16 ? EventType::done : static_cast<EventType>(1 + below(13));
  }

  std::mt19937_64 random_;
  std::uint64_t now_ = 0;
};

TEST(SessionsProperty, WhateverComesTheBooksAreRight) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Events events(seed);
    SessionOptions options;
    if (seed % 3 == 0) options = {.max_connections = 3, .max_resources = 5, .max_sites = 4};
    Sessions sessions(options);
    SessionInvariants invariants;
    for (int i = 0; i < 2000; ++i) {
      const Event event = events.next();
      sessions.apply(event);
      if (i % 7 != 0) continue;
      ASSERT_EQ(invariants.broken(sessions, options), "")
          << "seed " << seed << ", event " << i << ": " << to_line(event);
    }
    sessions.image_ended({1}, true);
    ASSERT_EQ(invariants.broken(sessions, options), "");
  }
}

}  // namespace
}  // namespace leaktrace::postgres
