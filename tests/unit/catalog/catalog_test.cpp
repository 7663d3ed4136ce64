// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "user/catalog/row.h"

namespace leaktrace::catalog {
namespace {

const Row* row_named(std::string_view symbol) {
  auto rows = memory_rows();
  auto found = std::ranges::find(rows, symbol, &Row::symbol);
  return found == rows.end() ? nullptr : &*found;
}

TEST(MemoryRows, FitTheKernelSide) {
  EXPECT_LE(memory_rows().size(), LT_MAX_ROWS);
  std::set<std::string> names;
  for (const Row& row : memory_rows()) {
    EXPECT_TRUE(names.insert(row.symbol).second) << row.symbol << " is there twice";
    EXPECT_GT(row.abi.kind, LT_KIND_NONE);
    EXPECT_LT(row.abi.kind, LT_KIND_COUNT);
    for (const lt_value_source& source :
         {row.abi.handle, row.abi.weight, row.abi.old_handle, row.abi.old_weight, row.abi.flags}) {
      EXPECT_LT(source.argument, LT_MAX_ARGUMENTS);
      EXPECT_LT(source.second, LT_MAX_ARGUMENTS);
    }
  }
}

TEST(MemoryRows, HaveTheGlibcFamily) {
  for (const char* symbol :
       {"malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc",
        "memalign", "valloc", "pvalloc", "free", "cfree", "mmap", "mmap64", "munmap", "mremap"}) {
    EXPECT_NE(row_named(symbol), nullptr) << symbol;
  }
}

TEST(MemoryRows, EveryOperatorIsLeftToMallocWhereItGoesThere) {
  int operators = 0;
  for (const Row& row : memory_rows()) {
    if (!row.symbol.starts_with("_Z")) continue;
    ++operators;
    EXPECT_EQ(row.applies, Applies::unless_object_imports_malloc) << row.symbol;
  }
  EXPECT_EQ(operators, 8 + 12);
}

TEST(MemoryRows, ReturnProbesOnlyWhereTheyTellSomething) {
  EXPECT_TRUE(row_named("malloc")->needs_return());
  EXPECT_TRUE(row_named("realloc")->needs_return());
  EXPECT_TRUE(row_named("munmap")->needs_return());
  EXPECT_FALSE(row_named("free")->needs_return());
}

const Row& postgres_row(std::string_view symbol) {
  const auto rows = postgres_rows();
  const auto found = std::ranges::find(rows, symbol, &Row::symbol);
  EXPECT_NE(found, rows.end()) << symbol;
  return *found;
}

TEST(PostgresRows, FitBesideThoseOfMemory) {
  EXPECT_LE(memory_rows().size() + postgres_rows().size() + 1, LT_MAX_ROWS);
  std::set<std::string> names;
  for (const Row& row : postgres_rows()) {
    EXPECT_TRUE(names.insert(row.symbol).second) << row.symbol << " is there twice";
    EXPECT_TRUE(row.is_postgres()) << row.symbol;
    // Calls of these kinds are kept while they are under way.
    EXPECT_LT(row.abi.kind, LT_KIND_SLOTS) << row.symbol;
  }
}

TEST(PostgresRows, CommandsSayWhereTheirSqlAndNameAre) {
  EXPECT_EQ(postgres_row("PQexec").abi.pg_sql.argument, 1);
  EXPECT_EQ(postgres_row("PQsendQueryParams").abi.pg_sql.argument, 1);
  const lt_row& prepare = postgres_row("PQsendPrepare").abi;
  EXPECT_EQ(prepare.pg_name.argument, 1);
  EXPECT_EQ(prepare.pg_sql.argument, 2);
  EXPECT_EQ(prepare.pg_command, LT_PG_PREPARE);
  const lt_row& execute = postgres_row("PQexecPrepared").abi;
  EXPECT_EQ(execute.pg_name.argument, 1);
  EXPECT_EQ(execute.pg_sql.source, LT_FROM_NOTHING);
}

TEST(PostgresRows, ResultsWeighWhatTheySayThemselves) {
  for (const Row& row : postgres_rows()) {
    if (row.abi.kind != LT_KIND_PG_RESULT || !row.is_acquire()) continue;
    EXPECT_EQ(row.abi.weight.source, LT_FROM_PG_RESULT) << row.symbol;
  }
}

TEST(PostgresRows, ReturnProbesOnlyWhereTheyTellSomething) {
  EXPECT_FALSE(postgres_row("PQclear").needs_return());
  EXPECT_FALSE(postgres_row("PQfinish").needs_return());
  EXPECT_FALSE(postgres_row("PQreset").needs_return());
  EXPECT_TRUE(postgres_row("PQsendQuery").needs_return());
  EXPECT_TRUE(postgres_row("PQgetResult").needs_return());
  EXPECT_TRUE(postgres_row("lo_close").needs_return());
}

TEST(Select, KeepsTheWantedKinds) {
  auto heap = select(memory_rows(), std::array{LT_KIND_HEAP});
  auto all = select(memory_rows(), std::array{LT_KIND_HEAP, LT_KIND_MMAP});
  EXPECT_EQ(all.size(), memory_rows().size());
  EXPECT_EQ(heap.size() + 4, all.size());
  EXPECT_TRUE(std::ranges::none_of(heap, [](const Row& row) { return row.symbol == "munmap"; }));
}

}  // namespace
}  // namespace leaktrace::catalog
