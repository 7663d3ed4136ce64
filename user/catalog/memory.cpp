// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string_view>

#include "user/catalog/row.h"
#include "user/catalog/values.h"

namespace leaktrace::catalog {
namespace {

Row heap_acquire(std::string_view symbol, lt_value_source weight) {
  return {std::string(symbol), Applies::always,
          memory_row(LT_OP_ACQUIRE, LT_KIND_HEAP, LT_SUCCESS_NONNULL, LT_EXTENT_POINT,
                     {kReturn, weight, kNothing, kNothing, kNothing})};
}

Row heap_release(std::string_view symbol) {
  return {std::string(symbol), Applies::always,
          memory_row(LT_OP_RELEASE, LT_KIND_HEAP, LT_SUCCESS_ALWAYS, LT_EXTENT_POINT,
                     {kNothing, kNothing, argument(0), kNothing, kNothing})};
}

Row heap_replace(std::string_view symbol, lt_value_source weight) {
  Row row = heap_acquire(symbol, weight);
  row.abi.operation = LT_OP_REPLACE;
  row.abi.old_handle = argument(0);
  return row;
}

Row posix_memalign_row() {
  Row row = heap_acquire("posix_memalign", argument(2));
  row.abi.handle = pointee(0);
  row.abi.success = LT_SUCCESS_ZERO;
  return row;
}

// void* mmap(addr, length, prot, flags, fd, offset)
Row mmap_row(std::string_view symbol) {
  return {std::string(symbol), Applies::always,
          memory_row(LT_OP_ACQUIRE, LT_KIND_MMAP, LT_SUCCESS_NOT_FAILED, LT_EXTENT_RANGE,
                     {kReturn, argument(1), kNothing, kNothing, argument(3)})};
}

// int munmap(addr, length)
Row munmap_row() {
  return {"munmap", Applies::always,
          memory_row(LT_OP_RELEASE, LT_KIND_MMAP, LT_SUCCESS_ZERO, LT_EXTENT_RANGE,
                     {kNothing, kNothing, argument(0), argument(1), kNothing})};
}

// void* mremap(old_address, old_size, new_size, flags, … new_address)
Row mremap_row() {
  return {"mremap", Applies::always,
          memory_row(LT_OP_REPLACE, LT_KIND_MMAP, LT_SUCCESS_NOT_FAILED, LT_EXTENT_RANGE,
                     {kReturn, argument(2), argument(0), argument(1), argument(3)})};
}

// The operators of <new>, as the Itanium C++ ABI mangles them where size_t is unsigned long.
constexpr std::array kOperatorsNew = {
    "_Znwm",                               // new(size)
    "_Znam",                               // new[](size)
    "_ZnwmRKSt9nothrow_t",                 // new(size, nothrow)
    "_ZnamRKSt9nothrow_t",                 // new[](size, nothrow)
    "_ZnwmSt11align_val_t",                // new(size, align)
    "_ZnamSt11align_val_t",                // new[](size, align)
    "_ZnwmSt11align_val_tRKSt9nothrow_t",  // new(size, align, nothrow)
    "_ZnamSt11align_val_tRKSt9nothrow_t",  // new[](size, align, nothrow)
};
constexpr std::array kOperatorsDelete = {
    "_ZdlPv",                               // delete(p)
    "_ZdaPv",                               // delete[](p)
    "_ZdlPvm",                              // delete(p, size)
    "_ZdaPvm",                              // delete[](p, size)
    "_ZdlPvRKSt9nothrow_t",                 // delete(p, nothrow)
    "_ZdaPvRKSt9nothrow_t",                 // delete[](p, nothrow)
    "_ZdlPvSt11align_val_t",                // delete(p, align)
    "_ZdaPvSt11align_val_t",                // delete[](p, align)
    "_ZdlPvmSt11align_val_t",               // delete(p, size, align)
    "_ZdaPvmSt11align_val_t",               // delete[](p, size, align)
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",  // delete(p, align, nothrow)
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",  // delete[](p, align, nothrow)
};

Row only_without_malloc(Row row) {
  row.applies = Applies::unless_object_imports_malloc;
  return row;
}

// Those that the C library defines. What takes their place in another library may throw, call back,
// or look at its own stack (jemalloc's and tcmalloc's profilers do), and has no trampoline.
void allow_trampolines(std::vector<Row>& rows) {
  for (Row& row : rows) row.returns = Returns::trampoline_in_libc;
}

std::vector<Row> build_memory_rows() {
  std::vector<Row> rows = {
      heap_acquire("malloc", argument(0)),
      heap_acquire("calloc", product(0, 1)),
      heap_replace("realloc", argument(1)),
      heap_replace("reallocarray", product(1, 2)),
      posix_memalign_row(),
      heap_acquire("aligned_alloc", argument(1)),
      heap_acquire("memalign", argument(1)),
      heap_acquire("valloc", argument(0)),
      heap_acquire("pvalloc", argument(0)),
      heap_release("free"),
      heap_release("cfree"),  // gone since glibc 2.26, still in other allocators
      heap_release("free_sized"),
      heap_release("free_aligned_sized"),
      mmap_row("mmap"),
      mmap_row("mmap64"),
      munmap_row(),
      mremap_row(),
  };
  allow_trampolines(rows);
  for (const char* symbol : kOperatorsNew) {
    rows.push_back(only_without_malloc(heap_acquire(symbol, argument(0))));
  }
  for (const char* symbol : kOperatorsDelete) {
    rows.push_back(only_without_malloc(heap_release(symbol)));
  }
  return rows;
}

}  // namespace

std::span<const Row> memory_rows() {
  static const std::vector<Row> rows = build_memory_rows();
  return rows;
}

std::vector<Row> select(std::span<const Row> rows, std::span<const lt_kind> kinds) {
  std::vector<Row> selected;
  std::ranges::copy_if(rows, std::back_inserter(selected), [&](const Row& row) {
    return std::ranges::find(kinds, static_cast<lt_kind>(row.abi.kind)) != kinds.end();
  });
  return selected;
}

}  // namespace leaktrace::catalog
