// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include "tests/fuzz/postgres/fuzz_postgres.h"
#include "tests/fuzz/postgres/require.h"
#include "tests/unit/postgres/session_invariants.h"
#include "user/postgres/event_log.h"

namespace leaktrace::fuzz {

void fuzz_sessions(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const postgres::SessionOptions options{.max_connections = 8, .max_resources = 16, .max_sites = 8};
  postgres::Sessions sessions(options);
  postgres::SessionInvariants invariants;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    auto event = postgres::from_line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!event) {
      require(!event.error().what.empty(), "an error says what it is");
      continue;
    }
    auto again = postgres::from_line(postgres::to_line(*event));
    require(again && *again == *event, "what was read can be written and read again");
    sessions.apply(*event);
    require(invariants.broken(sessions, options).empty(), "the books are right");
  }
}

}  // namespace leaktrace::fuzz
