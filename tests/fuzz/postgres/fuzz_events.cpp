// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>

#include "tests/fuzz/postgres/fuzz_postgres.h"
#include "tests/fuzz/postgres/require.h"
#include "tests/unit/postgres/session_invariants.h"

namespace leaktrace::fuzz {
namespace {

using postgres::Event;
using postgres::EventType;

constexpr std::array kTexts = {"BEGIN",
                               "COMMIT",
                               "ROLLBACK",
                               "SAVEPOINT s",
                               "RELEASE s",
                               "ROLLBACK TO s",
                               "DECLARE c CURSOR FOR SELECT 1",
                               "DECLARE d CURSOR WITH HOLD FOR SELECT 1",
                               "CLOSE c",
                               "CLOSE ALL",
                               "PREPARE p AS SELECT 1",
                               "DEALLOCATE p",
                               "DISCARD ALL",
                               "COPY t FROM STDIN",
                               "DECLARE e CURSOR FOR SELECT 1; COMMIT; BEGIN",
                               "SELECT 1"};
constexpr std::array kTags = {"",
                              "BEGIN",
                              "COMMIT",
                              "ROLLBACK",
                              "SAVEPOINT",
                              "RELEASE",
                              "DECLARE CURSOR",
                              "CLOSE CURSOR",
                              "PREPARE",
                              "DEALLOCATE",
                              "DISCARD ALL",
                              "SELECT 1",
                              "CLOSE CURSOR ALL",
                              "DEALLOCATE ALL",
                              "COPY 1",
                              "PREPARE TRANSACTION"};
constexpr std::array kNames = {"", "c", "d", "p"};

/// An event of six bytes.
Event decode(const std::uint8_t* bytes, std::uint64_t at_ns) {
  Event event;
  event.type = static_cast<EventType>(1 + bytes[0] % 13);
  event.connection = {{1U + ((bytes[0] >> 4) & 1U)}, 1U + ((bytes[0] >> 5) & 3U)};
  event.at_ns = at_ns;
  event.stack = {1U + (bytes[1] & 3U)};
  event.ahead = (bytes[1] >> 2) & 7U;
  event.name = kNames[(bytes[1] >> 5) & 3U];
  event.text = event.type == EventType::result ? kTags[bytes[2] & 15U] : kTexts[bytes[2] & 15U];
  event.status = static_cast<postgres::ResultStatus>((bytes[2] >> 4) % 13);
  event.command = static_cast<postgres::CommandKind>(1 + (bytes[3] & 15U) % 9);
  event.transaction = static_cast<postgres::TransactionStatus>((bytes[3] >> 4) % 5);
  event.cut = (bytes[4] & 1U) != 0;
  event.unannounced = (bytes[4] & 2U) != 0;
  event.broken = (bytes[4] & 0x1cU) == 0x1c;
  event.pipeline = (bytes[4] & 0x20U) != 0;
  event.lost = (bytes[4] & 0xc0U) == 0xc0;
  event.from_start = (bytes[5] & 1U) != 0;
  event.value = bytes[5] >> 6;
  return event;
}

}  // namespace

void fuzz_events(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kEventBytes = 6;
  const postgres::SessionOptions options{
      .max_connections = 7, .max_resources = 16, .max_sites = 12};
  postgres::Sessions sessions(options);
  postgres::SessionInvariants invariants;
  for (std::size_t at = 0; at + kEventBytes <= size; at += kEventBytes) {
    sessions.apply(decode(data + at, at));
    const std::string broken = invariants.broken(sessions, options);
    require(broken.empty(), broken);
  }
}

}  // namespace leaktrace::fuzz
