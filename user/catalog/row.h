// SPDX-License-Identifier: Apache-2.0
// What to hook, as data: one row a function.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "leaktrace/abi.h"
#include "leaktrace/pg_abi.h"

namespace leaktrace::catalog {

/// When an object that defines a row's symbol is hooked.
enum class Applies {
  always,
  /// Only where the object does not get its memory through malloc: libstdc++'s operator new calls
  /// malloc, where the block is counted already, and a second probe would cost without telling
  /// more.
  unless_object_imports_malloc,
  /// Only once another file of the process imports the symbol: libpq calls it itself, for every
  /// result, and a probe would cost without telling more.
  once_imported,
};

/// How it is seen that a function returns.
enum class Returns {
  /// By probes on its own return instructions: right for every function.
  own_instructions,
  /// By the kernel's trampoline in place of the return address, where the function is the C
  /// library's own: it calls nothing of the program's, throws nothing, and is no cancellation point
  /// (pthreads(7)), so nothing but its `ret` leaves it, and nobody looks at its frame.
  trampoline_in_libc,
};

/// One hooked function.
struct Row {
  std::string symbol;
  Applies applies = Applies::always;
  lt_row abi{};
  Returns returns = Returns::own_instructions;

  [[nodiscard]] bool may_have_trampoline() const { return returns == Returns::trampoline_in_libc; }
  [[nodiscard]] bool is_acquire() const { return abi.operation == LT_OP_ACQUIRE; }
  /// A return probe is needed to learn the handle or whether the call succeeded.
  [[nodiscard]] bool needs_return() const {
    if (abi.pg_role == LT_PG_RESET) return false;
    return abi.operation != LT_OP_RELEASE || abi.success != LT_SUCCESS_ALWAYS;
  }
  [[nodiscard]] bool is_postgres() const { return LT_KIND_IS_PG(abi.kind); }
  /// Its probes stay when the others are taken away to keep to a budget: they are hardly ever hit,
  /// and what is missed would be missed for good.
  [[nodiscard]] bool is_lasting() const {
    return LT_KIND_IS_LASTING(abi.kind) || abi.pg_role == LT_PG_RESET;
  }
};

/// The C and C++ allocation functions, by the names that glibc gives them. They apply to every
/// object that defines the names, so to libraries that take malloc's place as well.
[[nodiscard]] std::span<const Row> memory_rows();

/// The functions of libpq. All of them are needed to know of any one kind of resource.
[[nodiscard]] std::span<const Row> postgres_rows();
/// free(), of what libpq gave away. Rows of the heap do that as well; without them it makes every
/// free() of a program a trap.
[[nodiscard]] Row free_of_buffers_row();

/// The rows of the wanted kinds, in the order of their indices on the BPF side.
[[nodiscard]] std::vector<Row> select(std::span<const Row> rows, std::span<const lt_kind> kinds);

}  // namespace leaktrace::catalog
