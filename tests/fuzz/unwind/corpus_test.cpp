// SPDX-License-Identifier: Apache-2.0
// The fuzz targets under any compiler: small real files and their tables, and seeded damage to
// them.
#include <gtest/gtest.h>
#include <link.h>
#include <stdlib.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/unwind/fuzz_unwind.h"
#include "user/base/file.h"

namespace leaktrace::fuzz {
namespace {

constexpr std::size_t kSmall = 300'000;

/// The small files that this process has loaded, the dynamic loader among them: its hand-written
/// frames need rules of all kinds.
std::vector<std::string> small_files() {
  std::vector<std::string> paths;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        const std::string name = info->dlpi_name;
        if (name.starts_with('/')) static_cast<std::vector<std::string>*>(out)->push_back(name);
        return 0;
      },
      &paths);
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    auto bytes = read_file(path);
    if (bytes && bytes->size() < kSmall) files.push_back(std::move(*bytes));
  }
  return files;
}

/// Files of the cache: the tables of the small files.
std::vector<std::string> cached_tables() {
  std::string folder = "/tmp/leaktrace-fuzz-unwind.XXXXXX";
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  std::vector<std::string> tables;
  auto cache = unwind::TableCache::open(folder, 100 << 20);
  EXPECT_TRUE(cache);
  for (const std::string& bytes : small_files()) {
    const auto table = unwind::read_table(std::as_bytes(std::span(bytes)));
    if (!table || !(*cache)->store(fuzz_identity(), *table)) continue;
    tables.push_back(*read_file(folder + "/" + fuzz_identity().key() + ".unwind"));
  }
  std::filesystem::remove_all(folder);
  return tables;
}

void run(void (*entry)(const std::uint8_t*, std::size_t), const std::string& input) {
  // A copy of the exact size, so that a sanitizer sees a read beyond it.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  entry(bytes.data(), bytes.size());
}

/// Bits, bytes, words or a run of them; headers more often than their size would have it.
std::string damage(std::string bytes, std::mt19937_64& random) {
  const auto below = [&random](std::size_t limit) {
    return static_cast<std::size_t>(random() % limit);
  };
  if (below(10) == 0) bytes.resize(below(bytes.size()));
  if (bytes.size() < 128) return bytes;
  for (std::size_t changes = 1 + below(8); changes > 0; --changes) {
    const bool in_head = below(4) == 0;
    const bool in_tail = below(4) == 0;  // section headers
    std::size_t at = below(bytes.size() - 64);
    if (in_head) at = below(64);
    if (in_tail) at = bytes.size() - 64 - below(std::min<std::size_t>(2000, bytes.size() - 64));
    switch (below(4)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes.replace(at, 8, 8, below(2) == 0 ? '\xff' : '\x7f');
        break;
      default:
        bytes.replace(at, 64, bytes.substr(below(bytes.size() - 64), 64));
        break;
    }
  }
  return bytes;
}

TEST(FuzzUnwind, RealFilesAreCompiled) {
  const auto files = small_files();
  ASSERT_FALSE(files.empty());
  for (const std::string& file : files) run(fuzz_unwind_table, file);
}

TEST(FuzzUnwind, DamagedFilesAreCompiledAsFarAsTheyGo) {
  const auto files = small_files();
  ASSERT_FALSE(files.empty());
  std::mt19937_64 random(3);
  for (int i = 0; i < 600; ++i) {
    run(fuzz_unwind_table, damage(files[random() % files.size()], random));
  }
}

TEST(FuzzUnwind, CachedTablesAreRead) {
  const auto tables = cached_tables();
  ASSERT_FALSE(tables.empty());
  for (const std::string& table : tables) run(fuzz_unwind_cache, table);
}

TEST(FuzzUnwind, DamagedCachedTablesAreNotBelieved) {
  const auto tables = cached_tables();
  ASSERT_FALSE(tables.empty());
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    run(fuzz_unwind_cache, damage(tables[random() % tables.size()], random));
  }
}

}  // namespace
}  // namespace leaktrace::fuzz
