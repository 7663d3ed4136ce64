// SPDX-License-Identifier: Apache-2.0
// What the connections to PostgreSQL hold, as a report shows it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "user/model/record.h"
#include "user/model/trace.h"

namespace leaktrace::analyze {

struct ReportOpen {
  model::Kind kind = model::Kind::pg_cursor;
  std::string name;
  std::string sql;
  std::string state;  ///< "with hold"; of pg.copy what it is
  double age_seconds = 0;
  std::string label;  ///< the function that opened it
};

struct ReportConnection {
  std::uint32_t pid = 0;
  std::string comm;
  std::uint64_t handle = 0;
  std::string words;  ///< model::connection_words
  std::string host, port, database, user;
  model::ConnectionState state = model::ConnectionState::unknown;
  double state_seconds = 0;
  double transaction_seconds = 0;  ///< 0: in none
  double known_seconds = 0;        ///< since it was made, or first seen
  bool from_start = false;
  std::uint64_t open_total = 0;
  std::map<model::Kind, std::uint64_t> open_by_kind;
  std::vector<ReportOpen> open;  ///< the oldest first; of open_total perhaps only some
};

/// "idle", "active", "idle in transaction", "idle in failed transaction", "broken", "unknown".
[[nodiscard]] std::string_view connection_state_name(model::ConnectionState state);

/// The connections of the trace's newest reading. `passes`: which kinds are shown; `label`: the
/// function that a stack is named by.
[[nodiscard]] std::vector<ReportConnection> report_connections(
    const model::Trace& trace, const std::function<bool(model::Kind)>& passes,
    const std::function<std::string(model::StackId)>& label);

}  // namespace leaktrace::analyze
