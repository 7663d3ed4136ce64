// SPDX-License-Identifier: Apache-2.0
//
// All mappings are read-only and private, so that /proc/self/maps tells them from the allocator's
// and the threads' own.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "sites.h"

namespace {
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr std::size_t kUnmappable = std::size_t{1} << 47;
}  // namespace

EXACT_MIX_SITE void* site_mmap_a(std::size_t n) {
  return mmap(nullptr, n, PROT_READ, kFlags, -1, 0);
}
EXACT_MIX_SITE void* site_mmap_b(std::size_t n) {
  return mmap(nullptr, n, PROT_READ, kFlags, -1, 0);
}
EXACT_MIX_SITE void* site_mmap64_a(std::size_t n) {
  return mmap64(nullptr, n, PROT_READ, kFlags, -1, 0);
}
EXACT_MIX_SITE void* site_mmap_fixed(void* at, std::size_t n) {
  return mmap(at, n, PROT_READ, kFlags | MAP_FIXED, -1, 0);
}
EXACT_MIX_SITE void* site_mremap_grow(void* p, std::size_t from, std::size_t to) {
  return mremap(p, from, to, MREMAP_MAYMOVE);
}
EXACT_MIX_SITE void* site_mremap_shrink(void* p, std::size_t from, std::size_t to) {
  return mremap(p, from, to, 0);
}
/// Moves without being told where to, by growing so far that it cannot stay.
EXACT_MIX_SITE void* site_mremap_move(void* p, std::size_t from, std::size_t to) {
  return mremap(p, from, to, MREMAP_MAYMOVE);
}
EXACT_MIX_SITE void* site_mremap_fixed(void* p, std::size_t from, std::size_t to, void* at) {
  return mremap(p, from, to, MREMAP_MAYMOVE | MREMAP_FIXED, at);
}
EXACT_MIX_SITE void* site_mremap_keep(void* p, std::size_t n) {
  return mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
}

namespace exact_mix {

__attribute__((noipa)) void* call_mmap(SiteId site, std::size_t length) {
  switch (site) {
    case id_site_mmap_a:
      return site_mmap_a(length);
    case id_site_mmap_b:
      return site_mmap_b(length);
    case id_site_mmap64_a:
      return site_mmap64_a(length);
    default:
      abort();
  }
}

__attribute__((noipa)) void* call_mmap_fixed(void* address, std::size_t length) {
  return site_mmap_fixed(address, length);
}

__attribute__((noipa)) void* call_mremap(SiteId site, void* old_address, std::size_t old_length,
                                         std::size_t new_length, void* destination) {
  switch (site) {
    case id_site_mremap_grow:
      return site_mremap_grow(old_address, old_length, new_length);
    case id_site_mremap_shrink:
      return site_mremap_shrink(old_address, old_length, new_length);
    case id_site_mremap_move:
      return site_mremap_move(old_address, old_length, new_length);
    case id_site_mremap_fixed:
      return site_mremap_fixed(old_address, old_length, new_length, destination);
    case id_site_mremap_keep:
      return site_mremap_keep(old_address, old_length);
    default:
      abort();
  }
}

__attribute__((noipa)) bool mapping_call_that_fails(void* address, std::size_t length,
                                                    unsigned choice) {
  switch (choice % 5) {
    case 0:
      return mmap(nullptr, 0, PROT_READ, kFlags, -1, 0) == MAP_FAILED;
    case 1:
      return mmap(nullptr, kUnmappable, PROT_READ, kFlags, -1, 0) == MAP_FAILED;
    case 2:
      return munmap(static_cast<char*>(address) + 1, length) != 0;
    case 3:
      return munmap(address, 0) != 0;
    default:
      return mremap(address, length, kUnmappable, MREMAP_MAYMOVE) == MAP_FAILED;
  }
}

}  // namespace exact_mix
