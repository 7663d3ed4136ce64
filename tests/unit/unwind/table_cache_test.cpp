// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/table_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>

#include "user/base/file.h"

namespace leaktrace::unwind {
namespace {

using testing::HasSubstr;

bool operator==(const lt_unwind_rule& a, const lt_unwind_rule& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

bool is_same(const Table& a, const Table& b) {
  const auto same_pages = std::ranges::equal(a.pages, b.pages, [](const Page& x, const Page& y) {
    return x.first == y.first && x.count == y.count;
  });
  const auto same_segments =
      std::ranges::equal(a.segments, b.segments, [](const Segment& x, const Segment& y) {
        return x.file_offset == y.file_offset && x.file_size == y.file_size &&
               x.address == y.address;
      });
  return a.base == b.base && same_pages && same_segments && a.rows == b.rows &&
         std::ranges::equal(a.rules, b.rules,
                            [](const auto& x, const auto& y) { return x == y; }) &&
         a.described_ranges == b.described_ranges && a.skipped_ranges == b.skipped_ranges;
}

/// A small sound table whose content depends on `seed`.
Table sample_table(uint64_t seed, size_t rows = 100) {
  Table table;
  table.base = 0x10000;
  table.segments = {{0x1000, 0x20000, 0x11000}};
  table.rules.push_back({.cfa = LT_UNWIND_CFA_PLT,
                         .fp = 0,
                         .ra = LT_UNWIND_RA_AT_CFA,
                         .flags = 0,
                         .cfa_offset = static_cast<int32_t>(seed),
                         .cfa_addend = 11,
                         .fp_offset = 0,
                         .ra_offset = -8,
                         .extra_offset = 0});
  constexpr uint64_t kinds[] = {LT_UNWIND_CFA_RULE, LT_UNWIND_CFA_END};
  for (uint64_t i = 0; i < rows; ++i) {
    table.rows.push_back(i << 48 | (i % 2 == 0 ? 0 : seed % 100 << 32) | kinds[i % 2] << 12);
  }
  table.pages = {{0, static_cast<uint32_t>(rows)}};
  table.described_ranges = seed;
  table.skipped_ranges = 3;
  return table;
}

FileIdentity sample_identity(const std::string& build_id = "0123abcd") {
  return {build_id, 4096, 1000, 0x1234, true};
}

class TableCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/leaktrace-table-cache.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    folder_ = parent_ / "a" / "unwind";
    cache_ = open();
  }
  void TearDown() override { std::filesystem::remove_all(parent_); }

  [[nodiscard]] std::unique_ptr<TableCache> open(uint64_t most_bytes = 1 << 20) const {
    auto opened = TableCache::open(folder_, most_bytes);
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  [[nodiscard]] std::filesystem::path file_of(const FileIdentity& identity) const {
    return folder_ / (identity.key() + ".unwind");
  }
  [[nodiscard]] static std::string bytes_of(const std::filesystem::path& path) {
    return *read_file(path);
  }
  static void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  [[nodiscard]] size_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }

  std::filesystem::path parent_;
  std::filesystem::path folder_;
  std::unique_ptr<TableCache> cache_;
};

TEST_F(TableCacheTest, GivesBackWhatWasStored) {
  const FileIdentity identity = sample_identity();
  EXPECT_FALSE(cache_->load(identity));
  const Table table = sample_table(7);
  ASSERT_TRUE(cache_->store(identity, table));
  const auto loaded = cache_->load(identity);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(is_same(*loaded, table));
  EXPECT_FALSE(cache_->load(sample_identity("0123abce")));
}

TEST_F(TableCacheTest, GivesBackTheTableOfARealFile) {
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const auto table = read_table(self.get());
  const auto identity = identify(self.get(), "feed");
  ASSERT_TRUE(table && identity);
  ASSERT_GT(table->rows.size(), 100U);
  ASSERT_TRUE(cache_->store(*identity, *table));
  const auto loaded = cache_->load(*identity);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(is_same(*loaded, *table));
}

TEST_F(TableCacheTest, KeepsAnEmptyTable) {
  ASSERT_TRUE(cache_->store(sample_identity(), Table{}));
  const auto loaded = cache_->load(sample_identity());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(is_same(*loaded, Table{}));
}

TEST_F(TableCacheTest, IsForItsUserOnly) {
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(1)));
  struct stat info {};
  ASSERT_EQ(::stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat(folder_.parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat(file_of(sample_identity()).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(TableCacheTest, BelievesNoFileThatOthersMayWrite) {
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(1)));
  const auto file = file_of(sample_identity());
  for (const mode_t mode : {0620U, 0602U}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    const auto loaded = cache_->load(sample_identity());
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().what, HasSubstr("another user"));
  }
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  EXPECT_TRUE(cache_->load(sample_identity()));
  if (::geteuid() != 0) return;  // only root can give files away
  ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
  EXPECT_FALSE(cache_->load(sample_identity()));
  ASSERT_EQ(::chown(folder_.c_str(), 65534, 65534), 0);
  EXPECT_FALSE(TableCache::open(folder_, 1));
}

TEST_F(TableCacheTest, FollowsNoLinkAndReadsNoPipe) {
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(1)));
  const auto file = file_of(sample_identity());
  std::filesystem::rename(file, parent_ / "elsewhere");
  std::filesystem::create_symlink(parent_ / "elsewhere", file);
  EXPECT_FALSE(cache_->load(sample_identity()));
  std::filesystem::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_FALSE(cache_->load(sample_identity()));
}

TEST_F(TableCacheTest, UsesNoFolderThatOthersMayWrite) {
  for (const mode_t mode : {0770U, 0707U}) {
    ASSERT_EQ(::chmod(folder_.c_str(), mode), 0);
    const auto opened = TableCache::open(folder_, 1);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().message(), HasSubstr("--unwind-cache"));
  }
  ASSERT_EQ(::chmod(folder_.c_str(), 0700), 0);
  std::filesystem::create_symlink(folder_, parent_ / "link");
  EXPECT_FALSE(TableCache::open(parent_ / "link", 1));
  EXPECT_FALSE(TableCache::open("/proc/self/nothing/here", 1));
}

TEST_F(TableCacheTest, BelievesNoDamagedFile) {
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(5, 20)));
  const auto file = file_of(sample_identity());
  const std::string whole = bytes_of(file);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    write(file, damaged);
    ASSERT_FALSE(cache_->load(sample_identity())) << "byte " << i;
  }
  for (size_t i = 0; i < whole.size(); i += 7) {
    write(file, whole.substr(0, i));
    ASSERT_FALSE(cache_->load(sample_identity())) << "cut at " << i;
  }
  write(file, whole + "x");
  EXPECT_FALSE(cache_->load(sample_identity()));
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(5, 20)));
  EXPECT_TRUE(cache_->load(sample_identity())) << "a damaged file is replaced";
}

// Stored by the cache itself, so that their checksums are right.
TEST_F(TableCacheTest, BelievesNoIndexOutOfBounds) {
  const auto is_believed = [&](const Table& table) {
    EXPECT_TRUE(cache_->store(sample_identity(), table));
    const auto loaded = cache_->load(sample_identity());
    return loaded.has_value();
  };
  ASSERT_TRUE(is_believed(sample_table(1)));
  Table table = sample_table(1);
  table.rules.clear();
  EXPECT_FALSE(is_believed(table)) << "a rule that is not there";
  table = sample_table(1);
  table.pages[0].count = 101;
  EXPECT_FALSE(is_believed(table)) << "a row behind the last";
  table.pages[0] = {100, 0xffffffff};
  EXPECT_FALSE(is_believed(table)) << "counts that overflow";
  table.pages[0] = {0, 0};
  EXPECT_FALSE(is_believed(table)) << "a page without a row";
  table.pages[0] = {1, 99};
  EXPECT_FALSE(is_believed(table)) << "a page that does not begin with its first byte";
  table = sample_table(1);
  std::swap(table.rows[7], table.rows[8]);
  EXPECT_FALSE(is_believed(table)) << "rows that are not sorted";
  table = sample_table(1);
  table.base = 12;
  EXPECT_FALSE(is_believed(table)) << "a base within a page";
}

// patchelf and strip keep the build id of what they rewrite.
TEST_F(TableCacheTest, TellsFilesWithTheSameBuildIdApart) {
  const FileIdentity whole = sample_identity();
  ASSERT_TRUE(cache_->store(whole, sample_table(1)));
  for (auto change :
       {+[](FileIdentity& one) { ++one.size; }, +[](FileIdentity& one) { one.owner = 0; },
        +[](FileIdentity& one) { ++one.head_crc; }}) {
    FileIdentity other = whole;
    change(other);
    EXPECT_FALSE(cache_->load(other));
    std::filesystem::copy(file_of(whole), file_of(other));
    EXPECT_FALSE(cache_->load(other)) << "under the other's name";
  }
}

TEST_F(TableCacheTest, KeepsNothingOfFilesWithoutABuildId) {
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const auto identity = identify(self.get(), "");
  ASSERT_TRUE(identity);
  EXPECT_FALSE(identity->cacheable);
  EXPECT_THAT(identity->key(), HasSubstr("inode"));
  ASSERT_TRUE(cache_->store(*identity, sample_table(1)));
  EXPECT_EQ(files(), 0U);
  EXPECT_FALSE(cache_->load(*identity));
}

TEST_F(TableCacheTest, KeepsNothingOfFilesThatEverybodyMayWrite) {
  const auto path = parent_ / "program";
  write(path, "program");
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto identity = identify(fd.get(), "abcd");
  ASSERT_TRUE(identity);
  EXPECT_FALSE(identity->cacheable);
}

TEST_F(TableCacheTest, DeletesWhatWasNotUsedForLongest) {
  ASSERT_TRUE(cache_->store(sample_identity("1"), sample_table(1)));
  const uint64_t one = std::filesystem::file_size(file_of(sample_identity("1")));
  ASSERT_TRUE(cache_->store(sample_identity("2"), sample_table(2)));
  // Times apart, whatever the file system's clock.
  const auto used = [&](const char* id, int minutes_ago) {
    std::filesystem::last_write_time(
        file_of(sample_identity(id)),
        std::filesystem::file_time_type::clock::now() - std::chrono::minutes(minutes_ago));
  };
  used("1", 50);
  used("2", 40);
  ASSERT_TRUE(cache_->load(sample_identity("1")));  // used: now "2" is the oldest
  const auto small = open(2 * one + one / 2);
  ASSERT_TRUE(small->store(sample_identity("3"), sample_table(3)));
  EXPECT_EQ(files(), 2U);
  EXPECT_TRUE(small->load(sample_identity("1")));
  EXPECT_FALSE(small->load(sample_identity("2")));
  EXPECT_TRUE(small->load(sample_identity("3")));
}

TEST_F(TableCacheTest, TidiesUpAfterWritersThatDied) {
  write(folder_ / ".tmp-1-0", "half");
  write(folder_ / ".tmp-2-0", "being written");
  write(folder_ / "notes", "of somebody");
  std::filesystem::last_write_time(
      folder_ / ".tmp-1-0", std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  ASSERT_TRUE(cache_->store(sample_identity(), sample_table(1)));
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".tmp-1-0"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / ".tmp-2-0"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "notes"));
}

TEST_F(TableCacheTest, IsUsedBySeveralAtOnce) {
  const auto other = open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      TableCache& cache = t == 0 ? *other : *cache_;
      for (uint64_t i = 0; i < 50; ++i) {
        const FileIdentity identity = sample_identity("shared");
        EXPECT_TRUE(cache.store(identity, sample_table(9)));
        const auto loaded = cache.load(identity);
        EXPECT_TRUE(loaded && is_same(*loaded, sample_table(9)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(files(), 1U);
}

TEST(DefaultCacheFolder, IsTheUsersOwn) {
  const std::string folder = default_cache_folder();
  if (::geteuid() == 0) {
    EXPECT_EQ(folder, "/var/cache/leaktrace/unwind");
  } else {
    EXPECT_TRUE(folder.empty() || folder.ends_with("/leaktrace/unwind"));
  }
}

}  // namespace
}  // namespace leaktrace::unwind
