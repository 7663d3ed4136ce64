// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "user/model/record.h"
#include "user/postgres/event.h"
#include "user/postgres/sql_reader.h"

namespace leaktrace::postgres {

struct SessionOptions {
  bool raw_sql = false;                  ///< keep literals in SQL that is shown
  std::size_t max_connections = 65536;   ///< known at once; over it: loss pg_table_full
  std::size_t max_resources = 1U << 20;  ///< open at once; over it: loss pg_table_full
  std::size_t max_sites = 65536;         ///< over it: loss pg_table_full
  /// Told of each resource that is seen to be released: its site, and from when to when it was
  /// open.
  std::function<void(const model::SiteKey&, std::uint64_t since_ns, std::uint64_t until_ns)>
      on_release{};
  std::shared_ptr<SqlReader> sql = std::make_shared<SqlReader>();
};

/// What could not be decided or kept, by cause.
struct SessionLosses {
  std::uint64_t text_cut = 0;         ///< SQL texts longer than the limit
  std::uint64_t unparsed = 0;         ///< SQL that the grammar refused though the server took it
  std::uint64_t undecided = 0;        ///< commands whose effect is not known: cut, unseen, lost
  std::uint64_t unmatched_close = 0;  ///< closed what was not seen to be opened
  std::uint64_t table_full = 0;
  bool operator==(const SessionLosses&) const = default;
};

/// What each connection has open at its server, by call stack: prepared statements, cursors, COPYs
/// and the like, large objects.
///
///   events ──▶ connection { queue of commands, transaction, savepoints, open resources } ──▶ sites
///
/// Whether a command took effect is decided by its results, never by its text alone; when a
/// transaction has ended is the server's own word (TransactionStatus) where it is known. Results,
/// connections and buffers are counted elsewhere: they are objects of the client.
class Sessions {
 public:
  explicit Sessions(const SessionOptions& options);
  ~Sessions();
  Sessions(Sessions&&) noexcept;
  Sessions& operator=(Sessions&&) noexcept;

  void apply(const Event& event);

  /// The image is gone. `keep`: it exited, and what was open then is still to be reported; else
  /// (exec) all of it is forgotten with its sites.
  void image_ended(model::ImageId image, bool keep);

  /// Sites whose counters changed since the last call. Their since_ns is the time of the oldest
  /// resource that is open.
  [[nodiscard]] std::vector<model::SiteCounters> take_changed_sites();
  /// What is held at sites, of those that changed since the last call.
  [[nodiscard]] std::vector<model::SiteDetail> take_changed_details();
  /// Appends one block for each open resource.
  void append_blocks(std::vector<model::Block>& blocks) const;
  /// Visits each open resource: its site, and since when it is open.
  void each_open(
      const std::function<void(const model::SiteKey&, std::uint64_t since_ns)>& visit) const;
  /// Zeros of a site that is not known.
  [[nodiscard]] model::Counters counters(const model::SiteKey& site) const;
  /// Connections by what they hold, most first, at most `most` of them; each lists at most
  /// model::kMostOpenListed resources, the oldest first.
  [[nodiscard]] model::Connections connections(std::uint64_t now_ns, std::size_t most) const;

  /// Stacks of what is open, of commands under way, and of sites that have changed.
  [[nodiscard]] std::unordered_set<model::StackId> stacks_in_use() const;
  /// Drops the sites of these stacks, which must not be in use.
  void forget(std::span<const model::StackId> stacks);
  [[nodiscard]] std::size_t site_count() const;

  [[nodiscard]] const SessionLosses& losses() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace leaktrace::postgres
