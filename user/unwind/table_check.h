// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/unwind/table.h"

namespace leaktrace::unwind {

/// Does every index of a table lie within it, and is it sorted as the search expects? True of each
/// table that read_table() gives.
[[nodiscard]] bool is_sound(const Table& table);

}  // namespace leaktrace::unwind
