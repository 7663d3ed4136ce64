// SPDX-License-Identifier: Apache-2.0
//
// What exact_mix knows of itself: for each site what was acquired and given back. Kept in static
// memory, so that keeping it does not change what is being counted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace exact_mix {

enum SiteId : std::uint16_t {
#define HEAP_SITE(name, family) id_##name,
#define MMAP_SITE(name) id_##name,
#include "sites.def"
#undef HEAP_SITE
#undef MMAP_SITE
  kSiteCount
};

inline constexpr int kMaxThreads = 64;

/// Counted by one thread: it may release what another acquired.
struct Tally {
  std::uint64_t acquired_count;
  std::uint64_t acquired_bytes;
  std::uint64_t released_count;
  std::uint64_t released_bytes;
};

extern Tally tallies[kMaxThreads][kSiteCount];

struct RunFacts {
  std::uint64_t seed;
  unsigned threads;
  std::uint64_t operations;
  std::uint64_t failed_calls;         ///< calls that were made to fail, and did
  std::uint64_t unexpected_failures;  ///< calls that should have succeeded: the machine is short
  std::uint64_t cross_thread_releases;
};

/// Writes the truth as JSON; false when the file cannot be written.
bool write_truth(const char* path, const RunFacts& facts);

/// Bytes that the truth says are mapped by the mmap sites.
std::uint64_t mapped_bytes_by_truth();

/// Bytes of anonymous private read-only mappings in /proc/self/maps: what the mmap sites use and
/// hardly anything else does.
std::uint64_t mapped_bytes_by_kernel();

}  // namespace exact_mix
