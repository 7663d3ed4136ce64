// SPDX-License-Identifier: Apache-2.0
//
// The functions that acquire, each under a name of its own, and the ways to give memory back.
#pragma once

#include <cstddef>

#include "truth.h"

// Not inlined, cloned, merged with its twin, or known to its callers: each stays a frame.
#define EXACT_MIX_SITE extern "C" __attribute__((noipa))

namespace exact_mix {

enum class Family : unsigned char { c, one, array, aligned };

/// New blocks have this alignment when their family is `aligned`.
inline constexpr std::size_t kAlignment = 64;

/// How a heap site acquires: the size asked for goes in, the block or null comes out. `depth`
/// wrappers lie between, so that one site has several stacks.
using Acquire = void* (*)(std::size_t size, int depth);

struct HeapSite {
  SiteId id;
  Family family;
  Acquire acquire;
};

/// The heap sites that acquire from nothing (realloc of a live block is not among them).
extern const HeapSite kFreshSites[];
extern const std::size_t kFreshSiteCount;

/// The size that `site` will really ask for when it is asked for `size`.
std::size_t size_asked(SiteId site, std::size_t size);

void* call_realloc_a(void* block, std::size_t size);
void* call_realloc_b(void* block, std::size_t size);
void* call_reallocarray_a(void* block, std::size_t size);

/// Gives a block back: as its family demands, or (any_family) through a function of another.
void release_properly(void* block, std::size_t size, Family family, bool sized);
void release_by_other_family(void* block, unsigned choice);

/// Leave out what valgrind, which checks this program's truth, cannot do: pvalloc, and an operator
/// new that throws.
extern bool for_valgrind;

/// Makes one call that must fail or do nothing; false when it succeeded all the same.
bool call_that_fails(unsigned choice);

/// realloc of a live block to a size that cannot be had; false when it succeeded all the same.
bool realloc_that_fails(void* block, unsigned choice);

void* call_mmap(SiteId site, std::size_t length);
void* call_mmap_fixed(void* address, std::size_t length);
void* call_mremap(SiteId site, void* old_address, std::size_t old_length, std::size_t new_length,
                  void* destination);
/// mmap, munmap or mremap calls that must fail; false when one succeeded all the same.
bool mapping_call_that_fails(void* address, std::size_t length, unsigned choice);

}  // namespace exact_mix
