// SPDX-License-Identifier: Apache-2.0
// What things are called in a trace. The numbers come from the BPF side (include/leaktrace/abi.h)
// and are kept in recordings.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "user/base/strong_id.h"

namespace leaktrace::model {

/// One address space of one process; exec and fork begin a new one.
using ImageId = StrongId<struct ImageTag, std::uint32_t>;
/// A call stack, as the 64-bit hash of its image and frames. 0: the stack found no room.
using StackId = StrongId<struct StackTag, std::uint64_t>;
/// Stands for all stacks of an image that were recycled: what their sites acquired and released.
inline constexpr StackId kRecycledStack{1};
/// A mapped file (or the like) that code comes from. 0: none is known.
using ModuleId = StrongId<struct ModuleTag, std::uint32_t>;

/// What a resource is; the values are enum lt_kind's.
enum class Kind : std::uint32_t {
  heap = 1,
  mmap = 2,
  pg_connection = 3,
  pg_result = 4,
  pg_buffer = 5,        ///< memory that libpq gave to the program
  pg_large_object = 6,  ///< a descriptor of one
  pg_statement = 7,
  pg_cursor = 8,
  pg_copy = 9,  ///< what a connection is in until it is left: COPY, a pipeline, row by row mode
};

/// All of them.
inline constexpr std::array kKinds = {Kind::heap,         Kind::mmap,      Kind::pg_connection,
                                      Kind::pg_result,    Kind::pg_buffer, Kind::pg_large_object,
                                      Kind::pg_statement, Kind::pg_cursor, Kind::pg_copy};

/// Is it one of PostgreSQL's, which are counted exactly whatever is sampled, and never paused?
[[nodiscard]] constexpr bool is_postgres(Kind kind) {
  return kind >= Kind::pg_connection && kind <= Kind::pg_copy;
}

/// The kind's name in options and JSON ("heap", "pg.cursor").
[[nodiscard]] std::string_view kind_name(Kind kind);
/// The kind of that name, if there is one.
[[nodiscard]] std::optional<Kind> kind_from_name(std::string_view name);
/// The kinds of that name or family ("pg" is all whose names begin with "pg."); none: unknown.
[[nodiscard]] std::vector<Kind> kinds_from_name(std::string_view name);

/// A call site: one kind of resource, acquired at one stack of one image.
struct SiteKey {
  StackId stack;
  ImageId image;
  Kind kind = Kind::heap;
  auto operator<=>(const SiteKey&) const = default;
};

}  // namespace leaktrace::model

template <>
struct std::hash<leaktrace::model::SiteKey> {
  std::size_t operator()(const leaktrace::model::SiteKey& key) const noexcept {
    return static_cast<std::size_t>(key.stack.value ^
                                    (std::uint64_t{key.image.value} * 0x9e3779b97f4a7c15ULL) ^
                                    static_cast<std::uint64_t>(key.kind));
  }
};
