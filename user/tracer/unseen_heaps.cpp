// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unseen_heaps.h"

#include <fmt/core.h>

#include <algorithm>

#include "user/catalog/allocators.h"

namespace leaktrace::tracer {
namespace {

bool acquires_heap(const catalog::Row& row) {
  return row.abi.kind == LT_KIND_HEAP && row.is_acquire();
}

bool is_heap_function(const FunctionSymbol& function, const std::vector<catalog::Row>& rows) {
  return std::ranges::any_of(rows, [&](const catalog::Row& row) {
    return acquires_heap(row) && row.symbol == function.name;
  });
}

// By its own name, or as another name of a function that is.
bool is_hooked(const FunctionSymbol& function, const Module& module,
               const std::vector<catalog::Row>& rows) {
  return is_heap_function(function, rows) ||
         std::ranges::any_of(module.image.functions, [&](const FunctionSymbol& other) {
           return other.file_offset == function.file_offset && is_heap_function(other, rows);
         });
}

bool has(const std::vector<FunctionSymbol>& functions, std::string_view name) {
  return std::ranges::find(functions, name, &FunctionSymbol::name) != functions.end();
}

}  // namespace

std::optional<UnseenHeap> unhooked_family(const Module& module,
                                          const std::vector<catalog::Row>& rows) {
  if (module.python) return std::nullopt;
  // A malloc that is not the C library's is that of the allocator beside it.
  const bool is_replacement =
      has(module.image.functions, "malloc") && !has(module.image.allocators, catalog::kLibcMalloc);
  if (is_replacement) return std::nullopt;
  for (const FunctionSymbol& function : module.image.allocators) {
    const catalog::AllocatorFamily* family = catalog::allocator_family(function.name);
    if (family == nullptr || is_hooked(function, module, rows)) continue;
    return UnseenHeap{.name = module.path,
                      .why = fmt::format("it has {} ({} and the like), which is not hooked",
                                         family->name, function.name),
                      .advice = std::string(family->advice)};
  }
  return std::nullopt;
}

bool defines_heap(const Module& module, const std::vector<catalog::Row>& rows) {
  return std::ranges::any_of(module.image.functions, [&](const FunctionSymbol& function) {
    return is_heap_function(function, rows);
  });
}

UnseenHeap heap_without_functions(const std::string& program) {
  return {.name = program,
          .why =
              "neither it nor a library of it has malloc or the like under a name that the file "
              "still has; only its mappings are seen",
          .advice = "a build that is not stripped, or one that uses the C library's malloc"};
}

}  // namespace leaktrace::tracer
