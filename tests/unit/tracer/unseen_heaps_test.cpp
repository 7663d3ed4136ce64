// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unseen_heaps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leaktrace::tracer {
namespace {

using testing::HasSubstr;

std::vector<catalog::Row> rows() {
  const auto memory = catalog::memory_rows();
  return {memory.begin(), memory.end()};
}

/// What ElfImage finds in a file with these functions of rows, and these of allocators.
Module file_with(std::vector<FunctionSymbol> functions, std::vector<FunctionSymbol> allocators) {
  Module module;
  module.path = "/srv/app";
  module.image.functions = std::move(functions);
  module.image.allocators = std::move(allocators);
  return module;
}

std::string why(const Module& module) {
  const auto unseen = unhooked_family(module, rows());
  return unseen ? unseen->why : "";
}

TEST(UnhookedFamily, IsAnAllocatorUnderNamesOfItsOwn) {
  const Module module = file_with({}, {{"_rjem_malloc", 0x100, 10}});
  EXPECT_EQ(why(module),
            "it has jemalloc with a prefix (_rjem_malloc and the like), which is not hooked");
  EXPECT_EQ(unhooked_family(module, rows())->name, "/srv/app");
}

TEST(UnhookedFamily, StandsBesideTheCLibrarysMallocInAStaticProgram) {
  EXPECT_THAT(why(file_with({{"malloc", 0x900, 10}},
                            {{"__libc_malloc", 0x900, 10}, {"mi_malloc", 0x100, 10}})),
              HasSubstr("mimalloc"));
}

TEST(UnhookedFamily, IsNoneWhereItIsMallocItself) {
  EXPECT_EQ(why(file_with({{"malloc", 0x100, 10}}, {{"mi_malloc", 0x100, 10}})), "");  // an alias
  EXPECT_EQ(why(file_with({{"malloc", 0x900, 10}}, {{"rpmalloc", 0x100, 10}})), "");   // calls it
  EXPECT_EQ(why(file_with({{"malloc", 0x100, 10}},
                          {{"__libc_malloc", 0x900, 10}, {"mi_malloc", 0x100, 10}})),
            "");
}

TEST(UnhookedFamily, IsNoneInACLibraryAndInPython) {
  EXPECT_EQ(why(file_with({{"malloc", 0x900, 10}}, {{"__libc_malloc", 0x900, 10}})), "");
  Module python = file_with({}, {{"mi_malloc", 0x100, 10}});
  python.python.emplace();
  EXPECT_EQ(why(python), "");
  EXPECT_EQ(why(file_with({}, {})), "");
}

TEST(UnhookedFamily, IsNoneWhereARowNamesItsFunction) {
  std::vector<catalog::Row> more = rows();
  catalog::Row row = more.front();
  row.symbol = "mi_malloc";
  more.push_back(row);
  EXPECT_FALSE(unhooked_family(file_with({}, {{"mi_malloc", 0x100, 10}}), more));
}

TEST(DefinesHeap, CountsFunctionsThatAcquire) {
  EXPECT_TRUE(defines_heap(file_with({{"calloc", 1, 1}}, {}), rows()));
  EXPECT_FALSE(defines_heap(file_with({{"mmap", 1, 1}, {"free", 2, 1}}, {}), rows()));
}

}  // namespace
}  // namespace leaktrace::tracer
