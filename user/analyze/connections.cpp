// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/connections.h"

#include <algorithm>

namespace leaktrace::analyze {
namespace {

double seconds(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(to_ns - from_ns) / 1e9 : 0;
}

ReportConnection make(const model::Connection& connection, std::uint64_t now_ns,
                      const std::function<bool(model::Kind)>& passes) {
  ReportConnection out;
  out.handle = connection.handle;
  out.words = model::connection_words(connection);
  out.host = connection.host;
  out.port = connection.port;
  out.database = connection.database;
  out.user = connection.user;
  out.state = connection.state;
  out.state_seconds = seconds(connection.state_since_ns, now_ns);
  if (connection.transaction_since_ns > 0) {
    out.transaction_seconds = seconds(connection.transaction_since_ns, now_ns);
  }
  out.known_seconds = seconds(connection.since_ns, now_ns);
  out.from_start = connection.from_start;
  for (const auto& [kind, count] : connection.open_by_kind) {
    if (!passes(kind)) continue;
    out.open_by_kind[kind] = count;
    out.open_total += count;
  }
  return out;
}

}  // namespace

std::string_view connection_state_name(model::ConnectionState state) {
  switch (state) {
    case model::ConnectionState::idle:
      return "idle";
    case model::ConnectionState::active:
      return "active";
    case model::ConnectionState::in_transaction:
      return "idle in transaction";
    case model::ConnectionState::failed:
      return "idle in failed transaction";
    case model::ConnectionState::broken:
      return "broken";
    case model::ConnectionState::unknown:
      break;
  }
  return "unknown";
}

std::vector<ReportConnection> report_connections(
    const model::Trace& trace, const std::function<bool(model::Kind)>& passes,
    const std::function<std::string(model::StackId)>& label) {
  std::vector<ReportConnection> out;
  if (!trace.connections()) return out;
  for (const model::Connection& connection : trace.connections()->connections) {
    const auto process = trace.processes().find(connection.image);
    std::uint64_t now_ns = trace.now_ns();
    if (process != trace.processes().end() && process->second.end) {
      now_ns = std::min(now_ns, process->second.end->at_ns);
    }
    ReportConnection& made = out.emplace_back(make(connection, now_ns, passes));
    if (process != trace.processes().end()) {
      made.pid = process->second.process.pid;
      made.comm = process->second.process.comm;
    }
    for (const model::OpenResource& open : connection.open) {
      if (!passes(open.kind)) continue;
      made.open.push_back({open.kind, open.name, open.sql, open.state,
                           seconds(open.since_ns, now_ns), label(open.stack)});
    }
  }
  return out;
}

}  // namespace leaktrace::analyze
