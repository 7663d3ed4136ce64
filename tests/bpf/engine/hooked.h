// SPDX-License-Identifier: Apache-2.0
// Functions that the engine's tests hook through rows of their own, so that every rule can be tried
// without an allocator's cooperation. They do what they are told: return the handle they are given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "user/catalog/row.h"

extern "C" {
void* hooked_acquire(void* handle, std::size_t size);
void* hooked_acquire_product(void* handle, std::size_t count, std::size_t size);
int hooked_acquire_into(void** where, std::size_t size, void* handle, int status);
void* hooked_replace(void* old_handle, std::size_t size, void* handle);
void hooked_release(void* handle);
/// Calls hooked_release, as operator delete calls free: both are hooked.
void hooked_outer_release(void* handle);
/// Calls hooked_acquire, and so is the outermost of two.
void* hooked_outer_acquire(void* handle, std::size_t size);
/// Jumps to hooked_acquire: both return at once, at one stack depth.
void* hooked_tail_acquire(void* handle, std::size_t size);
/// Releases and acquires inside a replacement, as an allocator's realloc may.
void* hooked_outer_replace(void* old_handle, std::size_t size, void* handle);
/// Calls `inside` before it returns; `inside` may never return.
void* hooked_acquire_around(void* handle, std::size_t size, void (*inside)());
void* hooked_map(void* address, std::size_t length, int flags);
int hooked_unmap(void* address, std::size_t length, int status);
void* hooked_remap(void* old_address, std::size_t old_length, std::size_t length, int flags,
                   void* address);
/// A heap call that maps, as malloc does when it needs a new arena.
void* hooked_acquire_that_maps(void* handle, std::size_t size, void* address, std::size_t length);
}

namespace leaktrace::test {

/// The rows of these functions.
std::vector<catalog::Row> hooked_rows();

}  // namespace leaktrace::test
