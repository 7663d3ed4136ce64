// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "user/model/trace.h"

namespace leaktrace::analyze {

/// The memory of a process, and how much of its growth the traced call sites explain.
///
///   growth  =  growing sites  +  other sites  +  unexplained
struct ReportMemory {
  model::ProcessMemory now;
  double seconds = 0;             ///< from the first reading to the newest, as all that follows
  std::int64_t growth_bytes = 0;  ///< of anonymous memory, resident or swapped
  std::uint64_t growing_sites_bytes = 0;  ///< outstanding at sites whose verdict is growing
  /// The same, had as much been acquired at all times as while probes were attached.
  std::uint64_t growing_sites_high = 0;
  std::uint64_t other_sites_bytes = 0;
  /// What is in no traced block: fragmentation, what the allocator keeps, mappings that are not
  /// traced; below 0 where blocks are not touched yet, or took pages that were there before.
  std::int64_t unexplained_bytes = 0;
  double minor_faults_per_second = 0;
  double major_faults_per_second = 0;
  /// Until now.limit is reached at the rate of all growing sites of all processes under it.
  std::optional<double> seconds_to_limit;
  std::vector<model::ProcessMemory> series;  ///< see model::MemorySeries
};

/// "the limit of cgroup /a (1.0 GiB)", "the machine's memory (24.0 GiB)".
[[nodiscard]] std::string limit_words(const model::MemoryLimit& limit);

/// Holds what the call sites of each process hold against its memory.
class MemoryAccount {
 public:
  /// The trace is not owned.
  explicit MemoryAccount(const model::Trace& trace);

  /// A site whose verdict is growing, and its rate.
  void add_growing(const model::SiteKey& key, double bytes_per_second);

  /// Nothing when the process's memory was not read.
  [[nodiscard]] std::optional<ReportMemory> of(model::ImageId image) const;

  /// Until the limit of the process is reached at this rate; nothing when it never is (10 years),
  /// and of a process that has ended.
  [[nodiscard]] std::optional<double> seconds_to_limit(model::ImageId image,
                                                       double bytes_per_second) const;

 private:
  struct Held {
    std::uint64_t all = 0;
    std::uint64_t growing = 0;
  };

  [[nodiscard]] const model::MemorySeries* alive(model::ImageId image) const;

  const model::Trace& trace_;
  std::unordered_map<model::ImageId, Held> held_;
  std::unordered_map<std::string, double> rates_;  ///< bytes a second, by the limit's cgroup
};

}  // namespace leaktrace::analyze
