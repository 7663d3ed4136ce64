// SPDX-License-Identifier: Apache-2.0
#include "user/app/postgres_trace.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "user/base/log.h"
#include "user/postgres/event_log.h"

namespace leaktrace::app {
namespace {

/// Connections that a report can list: those that hold most.
constexpr std::size_t kMostConnections = 1000;
/// Bytes of SQL in a line of the log.
constexpr std::size_t kMostLogged = 1024;

static_assert(static_cast<int>(postgres::EventType::connected) == LT_PG_EVENT_CONNECTED);
static_assert(static_cast<int>(postgres::EventType::done) == LT_PG_EVENT_DONE);
static_assert(static_cast<int>(postgres::EventType::row_mode) == LT_PG_EVENT_ROW_MODE);
static_assert(static_cast<int>(postgres::EventType::example) == LT_PG_EVENT_EXAMPLE);
static_assert(static_cast<int>(postgres::CommandKind::query) == LT_PG_QUERY);
static_assert(static_cast<int>(postgres::CommandKind::sync) == LT_PG_SYNC);

std::string string_in(const char* bytes, std::size_t most) {
  return {bytes, ::strnlen(bytes, most)};
}

bool has(const lt_event_pg& event, lt_pg_event_flags flag) {
  return (event.flags & flag) != 0;
}

void read_connected(const lt_event_pg& event, std::size_t text_bytes, postgres::Event& out) {
  if (text_bytes < sizeof(lt_pg_connected)) return;
  const auto& connected = *reinterpret_cast<const lt_pg_connected*>(event.text);
  const auto string = [&](lt_pg_string_of which) {
    return string_in(connected.string[which], LT_PG_STRING_BYTES);
  };
  out.host = string(LT_PG_HOST);
  if (out.host.empty()) out.host = string(LT_PG_HOSTADDR);
  out.port = string(LT_PG_PORT);
  out.database = string(LT_PG_DATABASE);
  out.user = string(LT_PG_USER);
}

postgres::TransactionStatus transaction_of(std::uint8_t status) {
  return status > LT_PG_TRANSACTION_UNKNOWN ? postgres::TransactionStatus::unknown
                                            : static_cast<postgres::TransactionStatus>(status);
}

postgres::Event translate(const lt_event_pg& event, std::size_t text_bytes, model::StackId stack,
                          std::uint64_t at_ns) {
  postgres::Event out;
  out.type = static_cast<postgres::EventType>(event.type);
  out.connection = {{event.header.image}, event.connection};
  out.at_ns = at_ns;
  out.stack = stack;
  out.command = static_cast<postgres::CommandKind>(event.command);
  out.ahead = event.ahead;
  out.name = string_in(event.name, sizeof(event.name));
  out.cut = has(event, LT_PG_CUT);
  out.unannounced = has(event, LT_PG_UNANNOUNCED);
  out.status = static_cast<postgres::ResultStatus>(event.status);
  out.transaction = transaction_of(event.transaction);
  out.broken = has(event, LT_PG_BROKEN);
  out.pipeline = has(event, LT_PG_PIPELINE);
  out.lost = has(event, LT_PG_LOST);
  out.unobserved = has(event, LT_PG_UNOBSERVED);
  out.from_start = has(event, LT_PG_FROM_START);
  out.value = event.value;
  if (out.type == postgres::EventType::connected) {
    read_connected(event, text_bytes, out);
  } else {
    out.text = string_in(event.text, text_bytes);
  }
  if (out.type == postgres::EventType::row_mode) out.name = event.value == 2 ? "chunked" : "single";
  return out;
}

/// The event as it may be shown: literals never leave the host unless they are asked for.
postgres::Event shown(postgres::Event event, const postgres::SessionOptions& options) {
  const bool is_sql =
      event.type == postgres::EventType::command || event.type == postgres::EventType::example;
  if (is_sql && !options.raw_sql) event.text = options.sql->normalize(event.text, kMostLogged);
  return event;
}

bool is_known_type(const lt_event_pg& event) {
  return event.type >= LT_PG_EVENT_CONNECTED && event.type <= LT_PG_EVENT_EXAMPLE;
}

}  // namespace

PostgresTrace::PostgresTrace(const PostgresTraceOptions& options,
                             std::function<std::uint64_t(std::uint64_t)> trace_time)
    : options_(options), trace_time_(std::move(trace_time)), sessions_(session_options()) {}

postgres::SessionOptions PostgresTrace::session_options() {
  postgres::SessionOptions sessions = options_.sessions;
  sessions.on_release = [this](const model::SiteKey& site, std::uint64_t since_ns,
                               std::uint64_t until_ns) { note_lifetime(site, since_ns, until_ns); };
  return sessions;
}

// As bpf/lib/sites.bpf.h does it for what the kernel side keeps.
void PostgresTrace::note_lifetime(const model::SiteKey& site, std::uint64_t since_ns,
                                  std::uint64_t until_ns) {
  const std::uint64_t age_ns = until_ns - std::min(since_ns, until_ns);
  lt_site_lifetimes& lifetimes = lifetimes_[site];
  const std::size_t age_class = collect::age_class_of(static_cast<double>(age_ns));
  const bool is_of_window = since_ns > window_ended_ns_ || window_ended_ns_ == 0;
  ++(is_of_window ? lifetimes.within : lifetimes.across)[age_class];
}

void PostgresTrace::forget(std::span<const model::StackId> stacks) {
  const std::unordered_set<model::StackId> gone(stacks.begin(), stacks.end());
  std::erase_if(lifetimes_,
                [&gone](const auto& entry) { return gone.contains(entry.first.stack); });
  sessions_.forget(stacks);
}

std::vector<collect::SiteLifetimes> PostgresTrace::take_lifetimes(std::uint64_t at_ns) {
  std::vector<collect::SiteLifetimes> taken;
  taken.reserve(lifetimes_.size());
  for (const auto& [site, lifetimes] : lifetimes_) taken.push_back({site, lifetimes});
  lifetimes_.clear();
  window_ended_ns_ = at_ns;
  return taken;
}

void PostgresTrace::each_open(const std::function<void(const collect::LiveBlock&)>& visit) const {
  sessions_.each_open([&](const model::SiteKey& site, std::uint64_t since_ns) {
    visit({.site = site, .acquired_ns = since_ns});
  });
}

void PostgresTrace::on_event(const lt_event_pg& event, std::size_t text_bytes,
                             model::StackId stack) {
  if (!is_known_type(event)) return;
  const model::ImageId image{event.header.image};
  images_.insert(image);
  const postgres::Event translated =
      translate(event, text_bytes, stack, trace_time_(event.header.time_ns));
  if (log::enabled(log::Level::debug)) {
    log::debug("postgres: {}", postgres::to_line(shown(translated, options_.sessions)));
  }
  sessions_.apply(translated);
}

void PostgresTrace::image_ended(model::ImageId image, bool keep) {
  images_.erase(image);
  std::erase_if(lifetimes_, [image](const auto& entry) { return entry.first.image == image; });
  sessions_.image_ended(image, keep);
}

// Quiet commands send no event, but leave their time in the kernel's table.
void PostgresTrace::add_activity(model::Connection& connection) const {
  if (!images_.contains(connection.image)) return;
  const lt_pg_session_key key{
      .connection = connection.handle, .image = connection.image.value, .reserved = 0};
  lt_pg_session session{};
  if (bpf_map_lookup_elem(options_.pg_sessions, &key, &session) != 0) return;
  connection.state_since_ns = std::max(connection.state_since_ns, trace_time_(session.used_ns));
  const bool waits = session.waiting > 0;
  if (waits && connection.state != model::ConnectionState::broken) {
    connection.state = model::ConnectionState::active;
  }
}

Result<void> PostgresTrace::emit_details(std::uint64_t at_ns, collect::RecordSink& sink) {
  Result<void> outcome;
  const auto send = [&](const model::Record& record) {
    auto accepted = sink.accept(record);
    if (!accepted && outcome) outcome = std::move(accepted);
  };
  for (model::SiteDetail& detail : sessions_.take_changed_details()) send(std::move(detail));
  model::Connections connections = sessions_.connections(at_ns, kMostConnections);
  for (model::Connection& connection : connections.connections) add_activity(connection);
  const bool is_news =
      connections.count != told_.count || connections.connections != told_.connections;
  if (!is_news) return outcome;
  told_ = connections;
  send(std::move(connections));
  return outcome;
}

void PostgresTrace::add_losses(model::Losses& losses) const {
  const postgres::SessionLosses& own = sessions_.losses();
  losses[LT_LOSS_PG_TEXT_CUT] += own.text_cut;
  losses[LT_LOSS_PG_UNPARSED] += own.unparsed;
  losses[LT_LOSS_PG_UNDECIDED] += own.undecided;
  losses[LT_LOSS_PG_UNMATCHED_CLOSE] += own.unmatched_close;
  losses[LT_LOSS_PG_TABLE_FULL] += own.table_full;
}

}  // namespace leaktrace::app
