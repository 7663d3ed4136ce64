// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/sessions.h"

#include <algorithm>
#include <map>
#include <utility>

#include "user/postgres/holdings.h"
#include "user/postgres/session.h"
#include "user/postgres/sql_cache.h"

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostEndedImages = 65536;

/// Would the event have begun something?
bool begins_something(EventType type) {
  return type == EventType::connected || type == EventType::command ||
         type == EventType::pipeline_entered || type == EventType::row_mode ||
         type == EventType::large_object_opened;
}

}  // namespace

struct Sessions::State {
  explicit State(const SessionOptions& all) : options(all), cache(all.raw_sql, *options.sql) {}

  Session* session_for(const Event& event);
  void make_room();
  void note_example(const Event& event, const Session& session);

  SessionOptions options;
  SessionLosses losses;
  SqlCache cache;
  Holdings holdings{options, losses};
  SessionContext context{holdings, cache, losses};
  std::map<ConnectionKey, Session> sessions;
  /// Of these nothing more is taken: an event may come late.
  std::unordered_set<model::ImageId> ended;
  bool ended_idle = false;  ///< there may be connections of ended images that hold nothing
};

/// Connections of images that have exited, and hold nothing, give way to those that live.
void Sessions::State::make_room() {
  if (!std::exchange(ended_idle, false)) return;
  std::erase_if(sessions, [this](const auto& entry) {
    return entry.second.holder().open.empty() && ended.contains(entry.first.image);
  });
}

/// The connection of the event; null: there is no room for it.
Session* Sessions::State::session_for(const Event& event) {
  if (auto found = sessions.find(event.connection); found != sessions.end()) {
    return &found->second;
  }
  if (sessions.size() >= options.max_connections) make_room();
  if (sessions.size() >= options.max_connections) {
    if (begins_something(event.type)) ++losses.table_full;
    return nullptr;
  }
  return &sessions
              .try_emplace(event.connection, event.connection, event.at_ns, event.from_start,
                           context)
              .first->second;
}

/// What results of a call site are results of, or where connections of one lead.
void Sessions::State::note_example(const Event& event, const Session& session) {
  const bool of_connection = event.type == EventType::connected;
  if (event.stack.value == 0) return;
  const model::SiteKey site{event.stack, event.connection.image,
                            of_connection ? model::Kind::pg_connection : model::Kind::pg_result};
  if (holdings.has_example(site)) return;
  SharedText sql;
  if (!of_connection) {
    sql = event.name.empty() ? cache.shown(event.text) : session.sql_of_statement(event.name);
  }
  holdings.note_example(site, sql, session.holder().words);
}

Sessions::Sessions(const SessionOptions& options) : state_(std::make_unique<State>(options)) {}
Sessions::~Sessions() = default;
Sessions::Sessions(Sessions&&) noexcept = default;
Sessions& Sessions::operator=(Sessions&&) noexcept = default;

void Sessions::apply(const Event& event) {
  if (state_->ended.contains(event.connection.image)) return;
  if (event.type == EventType::finished) {
    const auto found = state_->sessions.find(event.connection);
    if (found == state_->sessions.end()) return;
    found->second.finish(event.at_ns);
    state_->sessions.erase(found);
    return;
  }
  Session* session = state_->session_for(event);
  if (session == nullptr) return;
  session->apply(event);
  if (event.type == EventType::example || event.type == EventType::connected) {
    state_->note_example(event, *session);
  }
}

void Sessions::image_ended(model::ImageId image, bool keep) {
  State& state = *state_;
  if (state.ended.size() >= kMostEndedImages) state.ended.clear();
  state.ended.insert(image);
  if (keep) {
    state.ended_idle = true;
    return;
  }
  auto session = state.sessions.lower_bound({image, 0});
  while (session != state.sessions.end() && session->first.image == image) {
    state.holdings.drop_all(session->second.holder());
    session = state.sessions.erase(session);
  }
  state.holdings.forget_image(image);
}

std::vector<model::SiteCounters> Sessions::take_changed_sites() {
  return state_->holdings.take_changed_sites();
}

std::vector<model::SiteDetail> Sessions::take_changed_details() {
  return state_->holdings.take_changed_details();
}

void Sessions::append_blocks(std::vector<model::Block>& blocks) const {
  for (const auto& [key, session] : state_->sessions) {
    for (const auto& [number, resource] : session.holder().open) {
      blocks.push_back({resource.key, number, 0, resource.since_ns});
    }
  }
}

void Sessions::each_open(
    const std::function<void(const model::SiteKey&, std::uint64_t since_ns)>& visit) const {
  for (const auto& [key, session] : state_->sessions) {
    for (const auto& [number, resource] : session.holder().open) {
      visit(resource.key, resource.since_ns);
    }
  }
}

model::Counters Sessions::counters(const model::SiteKey& site) const {
  return state_->holdings.counters(site);
}

model::Connections Sessions::connections(std::uint64_t now_ns, std::size_t most) const {
  std::vector<const Session*> all;
  all.reserve(state_->sessions.size());
  for (const auto& [key, session] : state_->sessions) all.push_back(&session);
  const std::size_t listed = std::min(most, all.size());
  const auto holds_more = [](const Session* one, const Session* other) {
    const std::size_t count = one->holder().open.size();
    const std::size_t others = other->holder().open.size();
    return count != others ? count > others : one->since_ns() < other->since_ns();
  };
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(listed), all.end(),
                    holds_more);
  model::Connections connections;
  connections.at_ns = now_ns;
  connections.count = all.size();
  for (std::size_t i = 0; i < listed; ++i) connections.connections.push_back(all[i]->describe());
  return connections;
}

std::unordered_set<model::StackId> Sessions::stacks_in_use() const {
  std::unordered_set<model::StackId> stacks;
  state_->holdings.add_stacks_in_use(stacks);
  for (const auto& [key, session] : state_->sessions) session.add_stacks_in_use(stacks);
  return stacks;
}

void Sessions::forget(std::span<const model::StackId> stacks) {
  state_->holdings.forget(stacks);
}

std::size_t Sessions::site_count() const {
  return state_->holdings.site_count();
}

const SessionLosses& Sessions::losses() const {
  return state_->losses;
}

}  // namespace leaktrace::postgres
