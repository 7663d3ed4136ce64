// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "sites.h"

// Unknown to the compiler's eye, so that it neither warns of nor removes a call that is meant.
static volatile std::size_t huge = static_cast<std::size_t>(PTRDIFF_MAX) - 4096;
static volatile std::size_t unmappable = std::size_t{1} << 46;
static volatile std::size_t half_of_all = SIZE_MAX / 2 + 2;
static volatile std::size_t zero = 0;

namespace {
constexpr std::size_t kElement = 8;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kLongestText = 512;
constexpr auto kAlign = std::align_val_t{exact_mix::kAlignment};

struct Letters {
  char text[kLongestText + 1];
  Letters() {
    std::memset(text, 'x', kLongestText);
    text[kLongestText] = '\0';
  }
};
const Letters letters;

/// A string that takes `size` bytes, its end included.
const char* text_of(std::size_t size) {
  return letters.text + kLongestText + 1 - size;
}
}  // namespace

EXACT_MIX_SITE void* site_malloc_a(std::size_t n) {
  return malloc(n);
}
EXACT_MIX_SITE void* site_malloc_b(std::size_t n) {
  return malloc(n);
}
EXACT_MIX_SITE void* site_malloc_zero(std::size_t) {
  return malloc(zero);
}
EXACT_MIX_SITE void* site_calloc_a(std::size_t n) {
  return calloc(1, n);
}
EXACT_MIX_SITE void* site_calloc_b(std::size_t n) {
  return calloc(n / kElement, kElement);
}
EXACT_MIX_SITE void* site_calloc_zero(std::size_t n) {
  return calloc(zero, n);
}
EXACT_MIX_SITE void* site_realloc_null(std::size_t n) {
  return realloc(nullptr, n);
}
EXACT_MIX_SITE void* site_realloc_a(void* p, std::size_t n) {
  return realloc(p, n);
}
EXACT_MIX_SITE void* site_realloc_b(void* p, std::size_t n) {
  return realloc(p, n);
}
EXACT_MIX_SITE void* site_reallocarray_null(std::size_t n) {
  return reallocarray(nullptr, n / kElement, kElement);
}
EXACT_MIX_SITE void* site_reallocarray_a(void* p, std::size_t n) {
  return reallocarray(p, n / kElement, kElement);
}
EXACT_MIX_SITE void* site_posix_memalign_a(std::size_t n) {
  void* p = nullptr;
  return posix_memalign(&p, 256, n) == 0 ? p : nullptr;
}
EXACT_MIX_SITE void* site_posix_memalign_b(std::size_t n) {
  void* p = nullptr;
  return posix_memalign(&p, sizeof(void*), n) == 0 ? p : nullptr;
}
EXACT_MIX_SITE void* site_aligned_alloc_a(std::size_t n) {
  return aligned_alloc(64, n);
}
EXACT_MIX_SITE void* site_memalign_a(std::size_t n) {
  return memalign(1024, n);
}
EXACT_MIX_SITE void* site_memalign_small(std::size_t n) {
  return memalign(8, n);
}
EXACT_MIX_SITE void* site_valloc_a(std::size_t n) {
  return valloc(n);
}
EXACT_MIX_SITE void* site_pvalloc_a(std::size_t n) {
  return pvalloc(n);
}
EXACT_MIX_SITE void* site_strdup_a(std::size_t n) {
  return strdup(text_of(n));
}
EXACT_MIX_SITE void* site_new_a(std::size_t n) {
  return ::operator new(n);
}
EXACT_MIX_SITE void* site_new_nothrow(std::size_t n) {
  return ::operator new(n, std::nothrow);
}
EXACT_MIX_SITE void* site_new_array_a(std::size_t n) {
  return new unsigned char[n];
}
EXACT_MIX_SITE void* site_new_array_nothrow(std::size_t n) {
  return new (std::nothrow) unsigned char[n];
}
EXACT_MIX_SITE void* site_new_aligned(std::size_t n) {
  return ::operator new(n, kAlign);
}
EXACT_MIX_SITE void* site_new_array_aligned(std::size_t n) {
  return ::operator new[](n, kAlign);
}

// Wrappers: one for each site, calling itself `depth` times first.
#define WRAPPER(site)                                                           \
  EXACT_MIX_SITE void* call_##site(std::size_t size, int depth) {               \
    return depth > 0 ? call_##site(size, depth - 1)                             \
                     : site(exact_mix::size_asked(exact_mix::id_##site, size)); \
  }
WRAPPER(site_malloc_a)
WRAPPER(site_malloc_b)
WRAPPER(site_malloc_zero)
WRAPPER(site_calloc_a)
WRAPPER(site_calloc_b)
WRAPPER(site_calloc_zero)
WRAPPER(site_realloc_null)
WRAPPER(site_reallocarray_null)
WRAPPER(site_posix_memalign_a)
WRAPPER(site_posix_memalign_b)
WRAPPER(site_aligned_alloc_a)
WRAPPER(site_memalign_a)
WRAPPER(site_memalign_small)
WRAPPER(site_valloc_a)
WRAPPER(site_pvalloc_a)
WRAPPER(site_strdup_a)
WRAPPER(site_new_a)
WRAPPER(site_new_nothrow)
WRAPPER(site_new_array_a)
WRAPPER(site_new_array_nothrow)
WRAPPER(site_new_aligned)
WRAPPER(site_new_array_aligned)

namespace exact_mix {

#define FRESH(site, family) \
  { id_##site, Family::family, call_##site }
const HeapSite kFreshSites[] = {
    FRESH(site_malloc_a, c),          FRESH(site_malloc_b, c),
    FRESH(site_malloc_zero, c),       FRESH(site_calloc_a, c),
    FRESH(site_calloc_b, c),          FRESH(site_calloc_zero, c),
    FRESH(site_realloc_null, c),      FRESH(site_reallocarray_null, c),
    FRESH(site_posix_memalign_a, c),  FRESH(site_posix_memalign_b, c),
    FRESH(site_aligned_alloc_a, c),   FRESH(site_memalign_a, c),
    FRESH(site_memalign_small, c),    FRESH(site_valloc_a, c),
    FRESH(site_pvalloc_a, c),         FRESH(site_strdup_a, c),
    FRESH(site_new_a, one),           FRESH(site_new_nothrow, one),
    FRESH(site_new_array_a, array),   FRESH(site_new_array_nothrow, array),
    FRESH(site_new_aligned, aligned), FRESH(site_new_array_aligned, aligned),
};
const std::size_t kFreshSiteCount = sizeof kFreshSites / sizeof kFreshSites[0];

std::size_t size_asked(SiteId site, std::size_t size) {
  switch (site) {
    case id_site_malloc_zero:
    case id_site_calloc_zero:
      return 0;
    case id_site_realloc_null:
      return size & 15 ? size : 0;
    case id_site_calloc_b:
    case id_site_reallocarray_null:
    case id_site_reallocarray_a:
      return (size + kElement - 1) / kElement * kElement;
    // The C++ library rounds aligned sizes up before it asks for them, so ask for round ones.
    case id_site_aligned_alloc_a:
    case id_site_new_aligned:
    case id_site_new_array_aligned:
      return (size + kAlignment - 1) / kAlignment * kAlignment;
    case id_site_valloc_a:
    case id_site_pvalloc_a:
    case id_site_memalign_a:
      return size % (2 * kPage) + 1;
    case id_site_strdup_a:
      return size % kLongestText + 1;
    default:
      return size;
  }
}

__attribute__((noipa)) void* call_realloc_a(void* block, std::size_t size) {
  return site_realloc_a(block, size);
}

__attribute__((noipa)) void* call_realloc_b(void* block, std::size_t size) {
  return site_realloc_b(block, size);
}

__attribute__((noipa)) void* call_reallocarray_a(void* block, std::size_t size) {
  return site_reallocarray_a(block, size);
}

__attribute__((noipa)) void release_properly(void* block, std::size_t size, Family family,
                                             bool sized) {
  switch (family) {
    case Family::c:
      return free(block);
    case Family::one:
      return sized ? ::operator delete(block, size) : ::operator delete(block);
    case Family::array:
      return sized ? ::operator delete[](block, size) : ::operator delete[](block);
    case Family::aligned:
      return sized ? ::operator delete(block, size, kAlign) : ::operator delete[](block, kAlign);
  }
}

__attribute__((noipa)) void release_by_other_family(void* block, unsigned choice) {
  switch (choice % 4) {
    case 0:
      return free(block);
    case 1:
      return ::operator delete(block);
    case 2:
      return ::operator delete[](block, kAlign);
    default:
      // glibc gives the block back and returns null.
      if (realloc(block, zero) != nullptr) abort();
  }
}

bool for_valgrind = false;

/// operator new that fails by an exception, which the C++ runtime allocates and frees.
static bool new_throws() {
  try {
    release_by_other_family(::operator new(huge), 0);
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

__attribute__((noipa)) bool call_that_fails(unsigned choice) {
  char anything = 0;
  void* untouched = &anything;
  switch (choice % 11) {
    case 0:
      return malloc(huge) == nullptr;
    case 1:
      return malloc(unmappable) == nullptr;
    case 2:
      return calloc(half_of_all, 2) == nullptr;
    case 3:
      return posix_memalign(&untouched, 24, 100) == EINVAL;
    case 4:
      return posix_memalign(&untouched, 64, huge) == ENOMEM;
    case 5:
      return memalign(64, huge) == nullptr;
    case 6:
      return ::operator new(huge, std::nothrow) == nullptr;
    case 7:
      return reallocarray(nullptr, half_of_all, 2) == nullptr;
    case 8:
      return for_valgrind || new_throws();
    case 9:
      free(nullptr);
      return true;
    default:
      ::operator delete(nullptr);
      return realloc(nullptr, huge) == nullptr;
  }
}

__attribute__((noipa)) bool realloc_that_fails(void* block, unsigned choice) {
  switch (choice % 3) {
    case 0:
      return realloc(block, huge) == nullptr;
    case 1:
      return realloc(block, unmappable) == nullptr;
    default:
      return reallocarray(block, half_of_all, 2) == nullptr;
  }
}

}  // namespace exact_mix
