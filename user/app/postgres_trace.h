// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "user/collect/session_keeper.h"
#include "user/postgres/sessions.h"

namespace leaktrace::app {

struct PostgresTraceOptions {
  postgres::SessionOptions sessions;
  int pg_sessions = -1;  ///< the kernel's table; belongs to the engine
};

/// Keeps the sessions of the traced PostgreSQL clients: makes events of the kernel side into those
/// of the session state machine, and what that knows into records.
///
///   lt_event_pg ──▶ postgres::Event ──▶ postgres::Sessions ──▶ SiteCounters, SiteDetail,
///   Connections
class PostgresTrace final : public collect::SessionKeeper {
 public:
  /// `trace_time`: CLOCK_MONOTONIC to the trace's time.
  PostgresTrace(const PostgresTraceOptions& options,
                std::function<std::uint64_t(std::uint64_t)> trace_time);

  void on_event(const lt_event_pg& event, std::size_t text_bytes, model::StackId stack) override;
  void image_ended(model::ImageId image, bool keep) override;
  [[nodiscard]] bool knows(model::ImageId image) const override { return images_.contains(image); }
  [[nodiscard]] std::vector<model::SiteCounters> take_changed_sites() override {
    return sessions_.take_changed_sites();
  }
  [[nodiscard]] Result<void> emit_details(std::uint64_t at_ns, collect::RecordSink& sink) override;
  void append_blocks(std::vector<model::Block>& blocks) const override {
    sessions_.append_blocks(blocks);
  }
  void each_open(const std::function<void(const collect::LiveBlock&)>& visit) const override;
  [[nodiscard]] std::vector<collect::SiteLifetimes> take_lifetimes(std::uint64_t at_ns) override;
  [[nodiscard]] model::Counters counters(const model::SiteKey& site) const override {
    return sessions_.counters(site);
  }
  void add_losses(model::Losses& losses) const override;
  [[nodiscard]] std::unordered_set<model::StackId> stacks_in_use() const override {
    return sessions_.stacks_in_use();
  }
  void forget(std::span<const model::StackId> stacks) override;
  [[nodiscard]] std::size_t site_count() const override { return sessions_.site_count(); }

 private:
  void add_activity(model::Connection& connection) const;
  void note_lifetime(const model::SiteKey& site, std::uint64_t since_ns, std::uint64_t until_ns);
  [[nodiscard]] postgres::SessionOptions session_options();

  PostgresTraceOptions options_;
  std::function<std::uint64_t(std::uint64_t)> trace_time_;
  std::unordered_map<model::SiteKey, lt_site_lifetimes> lifetimes_;  ///< since the newest window
  std::uint64_t window_ended_ns_ = 0;  ///< the newest, in the trace's time
  postgres::Sessions sessions_;
  std::set<model::ImageId> images_;  ///< that have had connections and have not ended
  model::Connections told_;          ///< what the stream has
};

}  // namespace leaktrace::app
