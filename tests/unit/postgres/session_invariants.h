// SPDX-License-Identifier: Apache-2.0
// What holds of Sessions whatever events come; for the property test and the fuzzers.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "user/postgres/sessions.h"

namespace leaktrace::postgres {

/// Follows the counters of a Sessions that it alone takes them of.
class SessionInvariants {
 public:
  /// What is broken; empty: nothing.
  std::string broken(Sessions& sessions, const SessionOptions& options) {
    std::vector<model::Block> blocks;
    sessions.append_blocks(blocks);
    std::map<model::SiteKey, std::uint64_t> open;
    for (const model::Block& block : blocks) ++open[block.site];
    for (const auto& site : sessions.take_changed_sites()) {
      model::Counters& before = counters_[site.site];
      if (site.counters.acquired_count < before.acquired_count ||
          site.counters.released_count < before.released_count) {
        return "a counter fell";
      }
      before = site.counters;
    }
    std::uint64_t outstanding = 0;
    for (const auto& [site, counters] : counters_) {
      if (counters.acquired_count < counters.released_count) return "more released than acquired";
      const std::uint64_t count = counters.acquired_count - counters.released_count;
      if (count != open[site]) return "a site's counters are not what is open";
      outstanding += count;
    }
    if (outstanding != blocks.size()) return "what is open is of no site";
    if (blocks.size() > options.max_resources) return "too many resources";
    if (sessions.site_count() > options.max_sites) return "too many sites";
    return broken_lists(sessions, options, blocks.size());
  }

 private:
  static std::string broken_lists(Sessions& sessions, const SessionOptions& options,
                                  std::uint64_t blocks) {
    for (const auto& detail : sessions.take_changed_details()) {
      if (detail.names.size() > 10 || detail.sql.size() > 1024) return "a detail is too long";
    }
    const auto connections = sessions.connections(0, options.max_connections);
    if (connections.count > options.max_connections) return "too many connections";
    std::uint64_t held = 0;
    for (const auto& connection : connections.connections) {
      held += connection.open_count;
      if (connection.open.size() != std::min<std::uint64_t>(connection.open_count, 100)) {
        return "a connection does not list what it holds";
      }
    }
    return held == blocks ? "" : "connections do not hold what is open";
  }

  std::map<model::SiteKey, model::Counters> counters_;
};

}  // namespace leaktrace::postgres
