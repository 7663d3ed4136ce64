// SPDX-License-Identifier: Apache-2.0
// Where a row's values are, in words.
#pragma once

#include "leaktrace/abi.h"

namespace leaktrace::catalog {

inline constexpr lt_value_source kNothing{};
inline constexpr lt_value_source kReturn{LT_FROM_RETURN, 0, 0, 0};

constexpr lt_value_source argument(__u8 index) {
  return {LT_FROM_ARGUMENT, index, 0, 0};
}
constexpr lt_value_source pointee(__u8 index) {
  return {LT_FROM_POINTEE, index, 0, 0};
}
constexpr lt_value_source product(__u8 a, __u8 b) {
  return {LT_FROM_PRODUCT, a, b, 0};
}

struct RowValues {
  lt_value_source handle, weight, old_handle, old_weight, flags;
};

/// The kernel side's row of a function that has nothing to do with PostgreSQL.
constexpr lt_row memory_row(lt_operation operation, lt_kind kind, lt_success success,
                            lt_extent extent, const RowValues& values) {
  lt_row row{};
  row.operation = static_cast<__u8>(operation);
  row.kind = static_cast<__u8>(kind);
  row.success = static_cast<__u8>(success);
  row.extent = static_cast<__u8>(extent);
  row.handle = values.handle;
  row.weight = values.weight;
  row.old_handle = values.old_handle;
  row.old_weight = values.old_weight;
  row.flags = values.flags;
  return row;
}

}  // namespace leaktrace::catalog
