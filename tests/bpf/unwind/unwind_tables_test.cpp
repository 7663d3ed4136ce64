// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_tables.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <sstream>

#include "unwind_probe.skel.h"
#include "user/base/unique_fd.h"
#include "user/unwind/table.h"

namespace leaktrace::tracer {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t shard_bytes = sizeof(lt_unwind_shard);

template <typename T>
T value_of(int map, uint32_t key) {
  T value{};
  EXPECT_EQ(bpf_map_lookup_elem(map, &key, &value), 0) << "key " << key;
  return value;
}

UniqueFd open_file_of(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0) return {};
  return UniqueFd(open(info.dli_fname, O_RDONLY | O_CLOEXEC));
}

class UnwindTablesTest : public testing::Test {
 protected:
  void SetUp() override {
    skeleton_ = unwind_probe_bpf__open_and_load();
    ASSERT_NE(skeleton_, nullptr);
    const auto& maps = skeleton_->maps;
    fds_ = {bpf_map__fd(maps.unwind_rows), bpf_map__fd(maps.unwind_pages),
            bpf_map__fd(maps.unwind_ranges), bpf_map__fd(maps.unwind_rules),
            bpf_map__fd(maps.unwind_procs)};
    libc_ = open_file_of(reinterpret_cast<const void*>(&std::abort));
    // By name: an inline function would lie in this program.
    libstdcxx_ = open_file_of(dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv"));
  }
  void TearDown() override { unwind_probe_bpf__destroy(skeleton_); }

  [[nodiscard]] UnwindTables tables(uint64_t most_row_bytes) const {
    auto created = UnwindTables::create(fds_, most_row_bytes);
    EXPECT_TRUE(created) << created.error().message();
    return std::move(*created);
  }

  /// The row that a program finds at a range's address, by the maps; without its address bits.
  [[nodiscard]] uint64_t row_in_kernel(const lt_unwind_range& range, uint64_t pc) const {
    const uint64_t address = pc - range.bias;
    const auto page = value_of<lt_unwind_page>(
        fds_.pages, range.first_page + static_cast<uint32_t>(address >> LT_UNWIND_PAGE_SHIFT));
    const uint32_t shard_index = page.first >> LT_UNWIND_SHARD_SHIFT;
    const UniqueFd shard(bpf_map_get_fd_by_id(value_of<uint32_t>(fds_.rows, shard_index)));
    const auto rows = std::make_unique<lt_unwind_shard>(value_of<lt_unwind_shard>(shard.get(), 0));
    uint64_t found = 0;
    for (uint32_t i = 0; i < page.count; ++i) {
      const uint64_t row = rows->row[page.first % LT_UNWIND_SHARD_ROWS + i];
      if (LT_UNWIND_ROW_ADDRESS(row) > (address & 0xffff)) break;
      found = row;
    }
    return found << 16 >> 16;
  }

  unwind_probe_bpf* skeleton_ = nullptr;
  UnwindMapFds fds_;
  UniqueFd libc_;
  UniqueFd libstdcxx_;
};

TEST_F(UnwindTablesTest, PutsEveryRowWhereProgramsLook) {
  auto table = unwind::read_table(libc_.get());
  ASSERT_TRUE(table) << table.error().message();
  UnwindTables loaded = tables(16 * shard_bytes);
  ASSERT_TRUE(loaded.add_module("before", libstdcxx_.get()));
  const auto module = loaded.add_module("libc", libc_.get());
  ASSERT_TRUE(module) << module.error().message();

  const unwind::Segment& code = table->segments.at(0);
  constexpr uint64_t start = 0x7f1200345000;
  const std::vector<UnwindMapping> mappings = {
      {start, start + code.file_size, code.file_offset, *module}};
  ASSERT_TRUE(loaded.set_process(1234, mappings));
  const auto process = value_of<lt_unwind_process>(fds_.procs, 1234);
  ASSERT_EQ(process.count, 1U);
  const auto range = value_of<lt_unwind_range>(fds_.ranges, process.first);
  EXPECT_EQ(range.start, start);
  EXPECT_EQ(range.end, start + code.file_size);

  std::mt19937_64 random(11);
  for (int i = 0; i < 300; ++i) {
    const uint64_t offset = random() % code.file_size;
    const uint64_t expected = *table->find(code.address + offset) << 16 >> 16;
    if (LT_UNWIND_ROW_CFA(expected) == LT_UNWIND_CFA_RULE) continue;  // indices differ
    ASSERT_EQ(row_in_kernel(range, start + offset), expected) << "offset " << offset;
  }
}

TEST_F(UnwindTablesTest, LoadsAFileOnce) {
  UnwindTables loaded = tables(16 * shard_bytes);
  const auto first = loaded.add_module("libc", libc_.get());
  ASSERT_TRUE(first);
  const uint64_t bytes = loaded.usage().row_bytes;
  const auto second = loaded.add_module("libc", -1);
  ASSERT_TRUE(second);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(loaded.usage().row_bytes, bytes);
  EXPECT_EQ(loaded.usage().modules, 1U);
}

TEST_F(UnwindTablesTest, RefusesAndCountsWhatIsOverTheBound) {
  UnwindTables loaded = tables(shard_bytes);
  ASSERT_TRUE(loaded.add_module("libc", libc_.get()));
  ASSERT_TRUE(loaded.add_module("libstdc++", libstdcxx_.get()));
  const auto refused = loaded.add_module("again", libstdcxx_.get());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("bound of unwind memory"));
  ASSERT_FALSE(loaded.add_module("again", libstdcxx_.get()));
  EXPECT_EQ(loaded.usage().refused_modules, 1U);
  EXPECT_EQ(loaded.usage().row_bytes, shard_bytes);

  // What no process maps makes room.
  EXPECT_EQ(loaded.drop_unused_modules(0s), 2U);
  EXPECT_EQ(loaded.usage().row_bytes, 0U);
  EXPECT_TRUE(loaded.add_module("again", libstdcxx_.get()));
}

TEST_F(UnwindTablesTest, KeepsTheModulesThatAreMapped) {
  UnwindTables loaded = tables(16 * shard_bytes);
  const auto libc = loaded.add_module("libc", libc_.get());
  const auto libstdcxx = loaded.add_module("libstdc++", libstdcxx_.get());
  ASSERT_TRUE(libc && libstdcxx);
  const std::vector<UnwindMapping> both = {{0x1000, 0x2000, 0, *libc},
                                           {0x3000, 0x4000, 0, *libstdcxx}};
  const std::vector<UnwindMapping> one = {both[0]};
  ASSERT_TRUE(loaded.set_process(1, both));
  ASSERT_TRUE(loaded.set_process(2, one));
  EXPECT_EQ(loaded.drop_unused_modules(0s), 0U);
  ASSERT_TRUE(loaded.set_process(1, one));
  EXPECT_EQ(loaded.drop_unused_modules(0s), 1U);
  loaded.drop_process(1);
  EXPECT_EQ(loaded.drop_unused_modules(0s), 0U);
  loaded.drop_process(2);
  loaded.drop_process(2);
  EXPECT_EQ(loaded.drop_unused_modules(0s), 1U);
  EXPECT_EQ(loaded.usage().processes, 0U);
}

TEST_F(UnwindTablesTest, KeepsForAWhileWhatNobodyMapsAnyMore) {
  UnwindTables loaded = tables(16 * shard_bytes);
  const auto libc = loaded.add_module("libc", libc_.get());
  ASSERT_TRUE(libc);
  const std::vector<UnwindMapping> mappings = {{0x1000, 0x2000, 0, *libc}};
  ASSERT_TRUE(loaded.set_process(1, mappings));
  loaded.drop_process(1);
  EXPECT_EQ(loaded.drop_unused_modules(1h), 0U);
  EXPECT_EQ(loaded.find("libc"), *libc);
  EXPECT_EQ(loaded.drop_unused_modules(0s), 1U);
  EXPECT_EQ(loaded.find("libc"), std::nullopt);
}

TEST_F(UnwindTablesTest, NamesANewLayoutAndKeepsTheNameOfAGrownOne) {
  UnwindTables loaded = tables(shard_bytes);
  const std::vector<UnwindMapping> small = {{0x1000, 0x2000, 0, {}}};
  const std::vector<UnwindMapping> grown = {{0x9000, 0xa000, 0, {}}, small[0]};
  const std::vector<UnwindMapping> moved = {{0x1000, 0x3000, 0, {}}};
  const auto generation_after = [&](const std::vector<UnwindMapping>& mappings) {
    EXPECT_TRUE(loaded.set_process(7, mappings));
    return value_of<lt_unwind_process>(fds_.procs, 7).generation;
  };
  const uint64_t first = generation_after(small);
  EXPECT_EQ(generation_after(grown), first);
  EXPECT_NE(generation_after(moved), first);
  const auto process = value_of<lt_unwind_process>(fds_.procs, 7);
  EXPECT_EQ(value_of<lt_unwind_range>(fds_.ranges, process.first).end, 0x3000U);
}

TEST_F(UnwindTablesTest, SortsMappings) {
  UnwindTables loaded = tables(shard_bytes);
  const std::vector<UnwindMapping> mappings = {
      {0x5000, 0x6000, 0, {}}, {0x1000, 0x2000, 0, {}}, {0x3000, 0x4000, 0, {}}};
  ASSERT_TRUE(loaded.set_process(8, mappings));
  const auto process = value_of<lt_unwind_process>(fds_.procs, 8);
  ASSERT_EQ(process.count, 3U);
  for (uint32_t i = 0; i < 3; ++i) {
    const auto range = value_of<lt_unwind_range>(fds_.ranges, process.first + i);
    EXPECT_EQ(range.start, 0x1000U + i * 0x2000U);
    EXPECT_EQ(range.pages, 0U);
  }
}

}  // namespace
}  // namespace leaktrace::tracer
