// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "leaktrace/pg_abi.h"
#include "user/collect/record_sink.h"
#include "user/collect/survival.h"
#include "user/model/record.h"

namespace leaktrace::collect {

/// Whoever knows what the sessions of PostgreSQL clients hold. It is told of their events, in
/// order, and what it makes of them becomes part of the stream; collect knows nothing of SQL.
///
///   ring ──▶ LiveSource ── events ──▶ SessionKeeper ── sites, details, connections ──▶ stream
class SessionKeeper {
 public:
  SessionKeeper() = default;
  SessionKeeper(const SessionKeeper&) = delete;
  SessionKeeper& operator=(const SessionKeeper&) = delete;
  virtual ~SessionKeeper() = default;

  /// `text_bytes`: what follows the event. `stack`: the one that its stack_id stands for.
  virtual void on_event(const lt_event_pg& event, std::size_t text_bytes, model::StackId stack) = 0;
  /// As LiveSource::image_ended.
  virtual void image_ended(model::ImageId image, bool keep) = 0;
  /// Has it heard of connections of this image?
  [[nodiscard]] virtual bool knows(model::ImageId image) const = 0;

  // For each reading.
  [[nodiscard]] virtual std::vector<model::SiteCounters> take_changed_sites() = 0;
  /// Writes what belongs to the newest reading beside its counters: SiteDetail, Connections.
  [[nodiscard]] virtual Result<void> emit_details(std::uint64_t at_ns, RecordSink& sink) = 0;
  virtual void append_blocks(std::vector<model::Block>& blocks) const = 0;
  virtual void add_losses(model::Losses& losses) const = 0;

  // For what is presumed released while no probe was attached: see SurvivalModel.
  /// What is open, acquired_ns in the trace's time.
  virtual void each_open(const std::function<void(const LiveBlock&)>& visit) const = 0;
  /// What was released since the last call, which was at the end of a window: now another has
  /// ended, at `at_ns` of the trace's time.
  [[nodiscard]] virtual std::vector<SiteLifetimes> take_lifetimes(std::uint64_t at_ns) = 0;
  /// Of a site that it has told of.
  [[nodiscard]] virtual model::Counters counters(const model::SiteKey& site) const = 0;

  // For recycling: see RangeTable.
  [[nodiscard]] virtual std::unordered_set<model::StackId> stacks_in_use() const = 0;
  virtual void forget(std::span<const model::StackId> stacks) = 0;
  [[nodiscard]] virtual std::size_t site_count() const = 0;
};

}  // namespace leaktrace::collect
