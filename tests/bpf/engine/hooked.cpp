// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/engine/hooked.h"

#include "user/catalog/values.h"

#define HOOKED extern "C" __attribute__((noinline, noclone, used))

namespace {

// Keeps a function from being merged with another or emptied.
template <int id>
void distinct() {
  asm volatile("" ::"i"(id) : "memory");
}

}  // namespace

HOOKED void* hooked_acquire(void* handle, std::size_t) {
  distinct<1>();
  return handle;
}

HOOKED void* hooked_acquire_product(void* handle, std::size_t, std::size_t) {
  distinct<2>();
  return handle;
}

HOOKED int hooked_acquire_into(void** where, std::size_t, void* handle, int status) {
  distinct<3>();
  if (where != reinterpret_cast<void**>(8)) *where = handle;
  return status;
}

HOOKED void* hooked_replace(void*, std::size_t, void* handle) {
  distinct<4>();
  return handle;
}

HOOKED void hooked_release(void*) {
  distinct<5>();
}

HOOKED void hooked_outer_release(void* handle) {
  hooked_release(handle);
  distinct<13>();
}

HOOKED void* hooked_outer_acquire(void* handle, std::size_t size) {
  void* result = hooked_acquire(handle, size);
  distinct<6>();
  return result;
}

#if defined(__x86_64__)
asm(".text\n"
    ".globl hooked_tail_acquire\n"
    ".type hooked_tail_acquire, @function\n"
    "hooked_tail_acquire:\n"
    "  .cfi_startproc\n"
    "  nop\n"
    "  jmp hooked_acquire@PLT\n"
    "  .cfi_endproc\n"
    ".size hooked_tail_acquire, . - hooked_tail_acquire\n");
#else
asm(".text\n"
    ".globl hooked_tail_acquire\n"
    ".type hooked_tail_acquire, @function\n"
    "hooked_tail_acquire:\n"
    "  .cfi_startproc\n"
    "  nop\n"
    "  b hooked_acquire\n"
    "  .cfi_endproc\n"
    ".size hooked_tail_acquire, . - hooked_tail_acquire\n");
#endif

HOOKED void* hooked_outer_replace(void* old_handle, std::size_t size, void* handle) {
  void* result = hooked_acquire(handle, size);
  hooked_release(old_handle);
  distinct<7>();
  return result;
}

HOOKED void* hooked_acquire_around(void* handle, std::size_t, void (*inside)()) {
  inside();
  distinct<8>();
  return handle;
}

HOOKED void* hooked_map(void* address, std::size_t, int) {
  distinct<9>();
  return address;
}

HOOKED int hooked_unmap(void*, std::size_t, int status) {
  distinct<10>();
  return status;
}

HOOKED void* hooked_remap(void*, std::size_t, std::size_t, int, void* address) {
  distinct<11>();
  return address;
}

HOOKED void* hooked_acquire_that_maps(void* handle, std::size_t, void* address,
                                      std::size_t length) {
  hooked_map(address, length, 0);
  distinct<12>();
  return handle;
}

namespace leaktrace::test {
namespace {

using catalog::argument;
using catalog::kNothing;
using catalog::kReturn;
using catalog::memory_row;

catalog::Row acquire(const char* symbol, lt_value_source weight) {
  return {symbol, catalog::Applies::always,
          memory_row(LT_OP_ACQUIRE, LT_KIND_HEAP, LT_SUCCESS_NONNULL, LT_EXTENT_POINT,
                     {kReturn, weight, kNothing, kNothing, kNothing})};
}

catalog::Row replace(const char* symbol) {
  catalog::Row row = acquire(symbol, argument(1));
  row.abi.operation = LT_OP_REPLACE;
  row.abi.old_handle = argument(0);
  return row;
}

catalog::Row acquire_into() {
  catalog::Row row = acquire("hooked_acquire_into", argument(1));
  row.abi.handle = {LT_FROM_POINTEE, 0, 0, 0};
  row.abi.success = LT_SUCCESS_ZERO;
  return row;
}

catalog::Row range(const char* symbol, lt_operation operation, lt_success success) {
  lt_row abi{};
  abi.operation = static_cast<__u8>(operation);
  abi.kind = LT_KIND_MMAP;
  abi.success = static_cast<__u8>(success);
  abi.extent = LT_EXTENT_RANGE;
  abi.handle = kReturn;
  return {symbol, catalog::Applies::always, abi};
}

}  // namespace

std::vector<catalog::Row> hooked_rows() {
  catalog::Row release{"hooked_release", catalog::Applies::always,
                       memory_row(LT_OP_RELEASE, LT_KIND_HEAP, LT_SUCCESS_ALWAYS, LT_EXTENT_POINT,
                                  {kNothing, kNothing, argument(0), kNothing, kNothing})};
  catalog::Row outer_release = release;
  outer_release.symbol = "hooked_outer_release";
  catalog::Row map = range("hooked_map", LT_OP_ACQUIRE, LT_SUCCESS_NOT_FAILED);
  map.abi.weight = argument(1);
  map.abi.flags = argument(2);
  catalog::Row unmap = range("hooked_unmap", LT_OP_RELEASE, LT_SUCCESS_ZERO);
  unmap.abi.old_handle = argument(0);
  unmap.abi.old_weight = argument(1);
  catalog::Row remap = range("hooked_remap", LT_OP_REPLACE, LT_SUCCESS_NOT_FAILED);
  remap.abi.weight = argument(2);
  remap.abi.flags = argument(3);
  remap.abi.old_handle = argument(0);
  remap.abi.old_weight = argument(1);
  return {acquire("hooked_acquire", argument(1)),
          acquire("hooked_acquire_product", {LT_FROM_PRODUCT, 1, 2, 0}),
          acquire_into(),
          replace("hooked_replace"),
          release,
          outer_release,
          acquire("hooked_outer_acquire", argument(1)),
          acquire("hooked_tail_acquire", argument(1)),
          replace("hooked_outer_replace"),
          acquire("hooked_acquire_around", argument(1)),
          map,
          unmap,
          remap,
          acquire("hooked_acquire_that_maps", argument(1))};
}

}  // namespace leaktrace::test
