// SPDX-License-Identifier: Apache-2.0
#include "user/catalog/allocators.h"

#include <algorithm>
#include <array>

namespace leaktrace::catalog {
namespace {

constexpr std::string_view kJemalloc = "jemalloc with a prefix";
constexpr std::string_view kJemallocAdvice =
    "build jemalloc without a prefix (Rust: the feature unprefixed_malloc_on_supported_platforms "
    "of tikv-jemallocator), so that its functions are malloc and free";
constexpr std::string_view kMimalloc = "mimalloc under its own names";
constexpr std::string_view kMimallocAdvice =
    "build mimalloc with MI_OVERRIDE (Rust: the feature override), so that its functions are "
    "malloc and free";

constexpr auto kFamilies = std::to_array<AllocatorFamily>({
    {kJemalloc, "_rjem_malloc", kJemallocAdvice},  // tikv-jemalloc-sys
    {kJemalloc, "je_malloc", kJemallocAdvice},     // Redis's own, FreeBSD's
    {kJemalloc, "*mallocx", kJemallocAdvice},
    {kMimalloc, "mi_malloc", kMimallocAdvice},
    {kMimalloc, "mi_malloc_aligned", kMimallocAdvice},
    {"snmalloc under its own names", "sn_rust_alloc", "build it with the system's allocator"},
    {"rpmalloc under its own names", "rpmalloc", "build rpmalloc with ENABLE_OVERRIDE"},
    {"oneTBB's scalable allocator", "scalable_malloc",
     "run it with LD_PRELOAD=libtbbmalloc_proxy.so.2"},
    {"dlmalloc under its own names", "dlmalloc", "build it without USE_DL_PREFIX"},
    {"PHP's Zend memory manager", "_emalloc", "run it with USE_ZEND_ALLOC=0 in its environment"},
    {"Go's heap", "runtime.mallocgc", "use Go's own heap profile (net/http/pprof)"},
});

// Their files are mapped into the program that they run. Valgrind: coregrind/m_main.c, vgpreload_*
// by LD_PRELOAD and the tool as the executable (memcheck-amd64-linux).
constexpr auto kTranslators = std::to_array<Translator>({
    {"valgrind", "/vgpreload_", ".so",
     "valgrind --leak-check=full or --tool=massif, or run the program without valgrind"},
    {"valgrind", "/valgrind/", "-linux",
     "valgrind --leak-check=full or --tool=massif, or run the program without valgrind"},
    {"DynamoRIO", "/libdynamorio.so", "", "run the program without DynamoRIO"},
    {"Intel Pin", "/pinbin", "", "run the program without Pin"},
});

bool fits(std::string_view pattern, std::string_view symbol) {
  if (!pattern.starts_with('*')) return symbol == pattern;
  pattern.remove_prefix(1);
  return symbol.size() > pattern.size() && symbol.ends_with(pattern);
}

}  // namespace

std::span<const AllocatorFamily> allocator_families() {
  return kFamilies;
}

const AllocatorFamily* allocator_family(std::string_view symbol) {
  const auto found = std::ranges::find_if(
      kFamilies, [&](const AllocatorFamily& family) { return fits(family.symbol, symbol); });
  return found == kFamilies.end() ? nullptr : &*found;
}

std::span<const Translator> translators() {
  return kTranslators;
}

const Translator* translator_of(std::string_view path) {
  const auto found = std::ranges::find_if(kTranslators, [&](const Translator& one) {
    return path.find(one.path_part) != std::string_view::npos && path.ends_with(one.path_end);
  });
  return found == kTranslators.end() ? nullptr : &*found;
}

}  // namespace leaktrace::catalog
