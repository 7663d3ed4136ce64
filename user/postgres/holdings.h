// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "user/model/record.h"
#include "user/postgres/sessions.h"
#include "user/postgres/sql_cache.h"

namespace leaktrace::postgres {

struct Site;
struct Holder;

/// A resource that a connection has open at its server.
struct Open {
  model::SiteKey key{};
  std::string name{};        ///< as the server knows it; may be no UTF-8
  SharedText sql{};          ///< as it is shown; may be null
  std::string_view state{};  ///< of pg_copy what it is; a literal
  std::uint64_t since_ns = 0;
  std::int64_t value = 0;  ///< of a large object its descriptor
  bool hold = false;       ///< of a cursor
  Statement executes{};    ///< of a prepared statement: what it does when executed; no text
  Site* site = nullptr;    ///< this and the next are set by Holdings
  const Holder* holder = nullptr;
};

/// What one connection has open, by running numbers: the oldest first.
struct Holder {
  std::map<std::uint64_t, Open> open;
  std::map<model::Kind, std::uint64_t> by_kind;  ///< how much is open of each
  SharedText words;                              ///< of the connection
  /// Something that was opened could not be kept, so closing what is not known says nothing.
  bool table_full = false;
};

/// What is open at a call site.
struct Site {
  model::Counters counters;
  std::map<std::uint64_t, const Open*> open;                 ///< the oldest first
  std::unordered_map<const Holder*, std::uint64_t> holders;  ///< how much each of them holds
  bool counters_changed = true;
  bool detail_changed = true;
  /// Of the last one that was closed, for when none is open.
  SharedText last_sql, last_words;
  std::string_view last_state;
};

/// All that is open, by connection and by call site, and the counters of the sites.
///
///   Holder ── open: number ─▶ Open ◀─ number :open ── Site ── counters
class Holdings {
 public:
  Holdings(const SessionOptions& options, SessionLosses& losses)
      : options_(options), losses_(&losses) {}

  /// Its number, from 1; 0: there is no room for it, which is counted.
  std::uint64_t acquire(Holder& holder, Open resource);
  /// `seen`: it is released now; else it was at a time that nobody looked.
  void release(Holder& holder, std::uint64_t number, std::uint64_t at_ns, bool seen = true);
  /// The image is gone with all its sites. What its connections have open is dropped before.
  void forget_image(model::ImageId image);
  /// Drops what is open without counting it as released.
  void drop_all(Holder& holder);
  /// What is acquired from now on has a higher number.
  [[nodiscard]] std::uint64_t newest() const { return newest_; }

  /// Keeps what the results of this call site are results of; the first one stays.
  void note_example(const model::SiteKey& site, const SharedText& sql, const SharedText& words);
  [[nodiscard]] bool has_example(const model::SiteKey& site) const {
    return examples_.contains(site);
  }

  [[nodiscard]] std::vector<model::SiteCounters> take_changed_sites();
  [[nodiscard]] std::vector<model::SiteDetail> take_changed_details();
  void add_stacks_in_use(std::unordered_set<model::StackId>& stacks) const;
  void forget(std::span<const model::StackId> stacks);
  [[nodiscard]] std::size_t site_count() const { return sites_.size(); }
  /// Zeros of a site that is not known.
  [[nodiscard]] model::Counters counters(const model::SiteKey& site) const;

 private:
  struct Example {
    SharedText sql, words;
    bool changed = true;
  };

  [[nodiscard]] Site* site_for(const model::SiteKey& key);

  SessionOptions options_;
  SessionLosses* losses_;
  std::unordered_map<model::SiteKey, Site> sites_;
  std::unordered_map<model::SiteKey, Example> examples_;
  std::uint64_t newest_ = 0;
  std::size_t open_ = 0;
};

}  // namespace leaktrace::postgres
