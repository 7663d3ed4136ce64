// SPDX-License-Identifier: Apache-2.0
// Names from .symtab, .dynsym and .gnu_debugdata, of files without DWARF.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

std::string name_at(const std::filesystem::path& file, std::uint64_t address) {
  const auto frames = look_up_in(file, address);
  EXPECT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].file, "");
  return frames[0].function;
}

class SymbolTables : public ::testing::Test {
 protected:
  void SetUp() override {
    addresses_ = nm(library_);
    run(fmt::format("strip --strip-all -o '{}' '{}'", stripped_.string(), library_.string()));
  }
  TemporaryFolder folder_;
  std::filesystem::path library_ = fixture("tables.so");
  std::filesystem::path stripped_ = folder_.path() / "stripped.so";
  std::map<std::string, std::uint64_t> addresses_;
};

TEST_F(SymbolTables, SymtabNamesLocalFunctions) {
  EXPECT_EQ(name_at(library_, addresses_.at("hidden")), "hidden");
}

TEST_F(SymbolTables, TheNameThatUsersKnowWinsOverInternalAliases) {
  EXPECT_EQ(addresses_.at("exported"), addresses_.at("__tables_internal"));
  EXPECT_EQ(name_at(library_, addresses_.at("exported") + 1), "exported");
  EXPECT_EQ(name_at(stripped_, addresses_.at("exported") + 1), "exported");
}

TEST_F(SymbolTables, DynsymNamesExportedFunctionsOnly) {
  EXPECT_EQ(name_at(stripped_, addresses_.at("exported")), "exported");
  EXPECT_EQ(name_at(stripped_, addresses_.at("hidden")), "");
}

TEST_F(SymbolTables, MiniDebugInfoNamesTheRest) {
  if (!have_program("xz")) GTEST_SKIP() << "xz is not installed";
  const std::string folder = folder_.path();
  run(fmt::format("objcopy --only-keep-debug '{}' '{}/mini' && xz '{}/mini'", library_.string(),
                  folder, folder));
  run(
      fmt::format("objcopy --add-section .gnu_debugdata='{0}/mini.xz' '{0}/stripped.so' "
                  "'{0}/with_mini.so'",
                  folder));
  const auto with_mini = folder_.path() / "with_mini.so";
  EXPECT_EQ(name_at(with_mini, addresses_.at("hidden")), "hidden");
  EXPECT_EQ(name_at(with_mini, addresses_.at("exported")), "exported");
}

TEST_F(SymbolTables, DamagedMiniDebugInfoIsPassedOver) {
  const std::string folder = folder_.path();
  run(
      fmt::format("printf 'not xz at all' > '{0}/mini.xz' && objcopy --add-section "
                  ".gnu_debugdata='{0}/mini.xz' '{0}/stripped.so' '{0}/with_mini.so'",
                  folder));
  EXPECT_EQ(name_at(folder_.path() / "with_mini.so", addresses_.at("exported")), "exported");
}

// With glibc's debug file and without: there, malloc is __libc_malloc, puts is _IO_puts (in two
// parts), and free has a name that only old programs use, cfree.
TEST(SymbolNames, OfTheAllocatorAreThoseThatProgramsCall) {
  const std::string libc = "/lib/x86_64-linux-gnu/libc.so.6";
  if (!std::filesystem::exists(libc)) GTEST_SKIP() << libc << " is not here";
  TemporaryFolder folder;
  const std::string bare = folder.path() / "libc.so.6";
  run(
      fmt::format("objcopy --strip-debug --remove-section=.note.gnu.build-id "
                  "--remove-section=.gnu_debuglink '{}' '{}' 2>/dev/null",
                  libc, bare));
  auto addresses = nm(libc, "-D --without-symbol-versions");
  for (const char* name : {"malloc", "calloc", "realloc", "free", "posix_memalign", "puts"}) {
    EXPECT_EQ(look_up_in(libc, addresses.at(name)).back().function, name);
    EXPECT_EQ(look_up_in(bare, addresses.at(name)).back().function, name);
  }
}

TEST(SymbolRanges, ASymbolWithoutSizeReachesToTheNext) {
  const auto labels = fixture("labels.so");
  const auto addresses = nm(labels);
  const auto begin = addresses.at("without_size");
  EXPECT_EQ(name_at(labels, begin), "without_size");
  EXPECT_EQ(name_at(labels, begin + 2), "without_size");
  EXPECT_EQ(name_at(labels, addresses.at("with_size") - 1), "without_size");
  EXPECT_EQ(name_at(labels, addresses.at("with_size")), "with_size");
}

TEST(SymbolRanges, CodeBehindASymbolWithSizeHasNoName) {
  const auto labels = fixture("labels.so");
  const auto addresses = nm(labels);
  EXPECT_EQ(name_at(labels, addresses.at("with_size") + 1), "with_size");
  EXPECT_EQ(name_at(labels, addresses.at("with_size") + 2), "");
  EXPECT_EQ(name_at(labels, addresses.at("after_gap") - 1), "");
  EXPECT_EQ(name_at(labels, addresses.at("after_gap")), "after_gap");
}

TEST(SymbolRanges, NoSymbolReachesIntoAnotherSection) {
  const auto labels = fixture("labels.so");
  EXPECT_EQ(name_at(labels, nm(labels).at("after_gap") + 40), "");
}

TEST(SymbolRanges, AssemblerGetsItsNameFromTheSymbolAndItsLineFromDwarf) {
  const auto labels = fixture("labels.g.so");
  const auto frames = look_up_in(labels, nm(labels).at("with_size"));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].function, "with_size");
  EXPECT_THAT(frames[0].file, ::testing::EndsWith("/labels.S"));
  EXPECT_GT(frames[0].line, 0u);
}

}  // namespace
}  // namespace leaktrace::symbolize::test
