// SPDX-License-Identifier: Apache-2.0
// Heaps that are not seen, by the functions that their files define.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "user/catalog/row.h"
#include "user/tracer/modules.h"

namespace leaktrace::tracer {

/// A heap whose blocks cannot be seen; the fields are those of model::NotSeen.
struct UnseenHeap {
  std::string name;  ///< the file's path
  std::string why;
  std::string advice;
};

/// The allocator of another family that the file holds and of which no function is hooked. A file
/// whose malloc is that allocator (libmimalloc.so, an alias) has none, nor has CPython, which holds
/// mimalloc and does not use it.
[[nodiscard]] std::optional<UnseenHeap> unhooked_family(const Module& module,
                                                        const std::vector<catalog::Row>& rows);

/// Does the file define a function of the rows that acquires heap blocks?
[[nodiscard]] bool defines_heap(const Module& module, const std::vector<catalog::Row>& rows);

/// The heap of a program in which only mappings can be seen.
[[nodiscard]] UnseenHeap heap_without_functions(const std::string& program);

}  // namespace leaktrace::tracer
