// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <string>

namespace leaktrace::symbolize {

/// The namespaces, types and functions around a DIE, "a::b::" or empty, for functions that a
/// compiler gave no linkage name (GCC: lambdas). Empty too in C, where there are none.
[[nodiscard]] std::string scope_of(Dwarf_Die die);

}  // namespace leaktrace::symbolize
