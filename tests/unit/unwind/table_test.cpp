// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/table.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "tests/unit/unwind/reference.h"
#include "user/base/file.h"
#include "user/unwind/rule.h"

namespace leaktrace::unwind {
namespace {

/// The paths of what this process has loaded: itself, libc, libstdc++, libdw, …
std::vector<std::string> loaded_files() {
  std::vector<std::string> paths;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        const std::string name = info->dlpi_name;
        auto& list = *static_cast<std::vector<std::string>*>(out);
        if (list.empty()) list.emplace_back("/proc/self/exe");
        if (name.starts_with('/')) list.push_back(name);
        return 0;
      },
      &paths);
  return paths;
}

struct Tally {
  uint64_t compared = 0;
  uint64_t described = 0;
  uint64_t unsupported = 0;
  uint64_t extra = 0;  ///< rows that say where the extra register is
};

void compare(const reference::File& file, const Table& table, const reference::State& state,
             Tally& tally) {
  SCOPED_TRACE(testing::Message() << "address " << std::hex << state.pc);
  const auto expected = file.caller(state);
  const auto actual = caller(table, state);
  ++tally.compared;
  if (!expected.described) {
    EXPECT_TRUE(!actual.described || actual.outermost);
    return;
  }
  ++tally.described;
  ASSERT_TRUE(actual.described);
  ASSERT_EQ(actual.outermost, expected.outermost);
  if (expected.outermost) return;
  if (!actual.cfa) {
    ++tally.unsupported;
    return;
  }
  EXPECT_EQ(actual.cfa, expected.cfa);
  EXPECT_EQ(actual.link, expected.link);
  EXPECT_EQ(actual.signal, expected.signal);
  if (!expected.link) {
    EXPECT_EQ(actual.ra, expected.ra);
  }
  if (actual.fp) {
    EXPECT_EQ(actual.fp, expected.fp);
  }
  if (actual.extra) {
    EXPECT_EQ(actual.extra, expected.extra);
    ++tally.extra;
  }
}

/// Holds the table to libdw at addresses a random 1..2*stride bytes apart.
Tally compare_all(const reference::File& file, const Table& table, reference::State state,
                  uint64_t stride) {
  Tally tally;
  std::mt19937_64 random(20240917);
  for (const Segment& segment : table.segments) {
    const uint64_t end = segment.address + segment.file_size;
    for (uint64_t pc = segment.address; pc < end && !testing::Test::HasFatalFailure();
         pc += 1 + random() % (2 * stride)) {
      state.pc = pc;
      state.sp = random() & ~uint64_t{7};
      state.fp = random() & ~uint64_t{7};
      compare(file, table, state, tally);
      if (testing::Test::HasFailure()) return tally;
    }
  }
  return tally;
}

void expect_sound(const Table& table) {
  for (const Page& page : table.pages) {
    ASSERT_GT(page.count, 0U);
    ASSERT_LE(page.first + page.count, table.rows.size());
    EXPECT_EQ(LT_UNWIND_ROW_ADDRESS(table.rows[page.first]), 0U);
    for (uint32_t i = page.first; i < page.first + page.count; ++i) {
      const uint64_t row = table.rows[i];
      EXPECT_NE(row, 0U);
      if (i > page.first) {
        EXPECT_LT(LT_UNWIND_ROW_ADDRESS(table.rows[i - 1]), LT_UNWIND_ROW_ADDRESS(row));
      }
      if (LT_UNWIND_ROW_CFA(row) == LT_UNWIND_CFA_RULE) {
        EXPECT_LT(LT_UNWIND_ROW_RULE(row), table.rules.size());
      }
    }
  }
}

TEST(Table, SaysWhatLibdwSaysOfEveryLoadedFile) {
  for (const std::string& path : loaded_files()) {
    SCOPED_TRACE(path);
    const reference::File file(path);
    ASSERT_TRUE(file.has_cfi());
    auto table = read_table(file.fd());
    ASSERT_TRUE(table) << table.error().message();
    expect_sound(*table);
    const Tally tally = compare_all(file, *table, {}, 60);
    printf(
        "%s: %zu rows, %zu rules; compared %lu addresses, %lu described, %lu unsupported, "
        "%lu with rbx\n",
        path.c_str(), table->rows.size(), table->rules.size(), tally.compared, tally.described,
        tally.unsupported, tally.extra);
    EXPECT_GT(tally.described, 20U);
    EXPECT_LE(tally.unsupported * 1000, tally.described);
    // The dynamic linker's lazy binding addresses its frame by rbx, so all its rows follow that.
    if (path.find("/ld-linux-x86-64") != std::string::npos) {
      EXPECT_GT(tally.extra * 10, tally.described * 9);
    }
    EXPECT_EQ(table->skipped_ranges, 0U);
    if (testing::Test::HasFailure()) return;
  }
}

#ifdef FRAMES_ARM64
TEST(Table, SaysWhatLibdwSaysOfArm64Code) {
  const reference::File file(FRAMES_ARM64);
  auto table = read_table(file.fd());
  ASSERT_TRUE(table) << table.error().message();
  expect_sound(*table);
  reference::State state;
  state.sp_number = 31;
  state.fp_number = 29;
  state.extra_number = 30;
  const Tally tally = compare_all(file, *table, state, 1);
  EXPECT_GT(tally.described, 100U);
  EXPECT_EQ(tally.unsupported, 0U);
}
#endif

TEST(Table, ReadsTheVdsoFromMemory) {
  const auto* image = reinterpret_cast<const std::byte*>(getauxval(AT_SYSINFO_EHDR));
  ASSERT_NE(image, nullptr);
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(image);
  const size_t size = header->e_shoff + size_t{header->e_shnum} * header->e_shentsize;
  auto table = read_table(std::span(image, size));
  ASSERT_TRUE(table) << table.error().message();
  expect_sound(*table);
  EXPECT_GT(table->described_ranges, 3U);
  EXPECT_EQ(table->segments.at(0).address_of(0), 0U);
}

TEST(Segment, KnowsWhereAMappingBegins) {
  const Segment code{0x1234, 0x5000, 0x401234};
  EXPECT_EQ(code.address_of(0x1000), 0x401000U);
  EXPECT_EQ(code.address_of(0x3000), 0x403000U);
  EXPECT_EQ(code.address_of(0x7000), std::nullopt);
  EXPECT_EQ(code.address_of(0), std::nullopt);
}

TEST(Table, EndsStacksAtTheEntryPoint) {
  auto bytes = read_file("/proc/self/exe");
  ASSERT_TRUE(bytes);
  const uint64_t entry = reinterpret_cast<const Elf64_Ehdr*>(bytes->data())->e_entry;
  auto table = read_table(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(LT_UNWIND_ROW_CFA(table->find(entry).value()), __u32{LT_UNWIND_CFA_END});
}

TEST(Table, EndsStacksAtAnEntryPointThatNothingDescribes) {
  auto bytes = read_file("/proc/self/exe");
  ASSERT_TRUE(bytes);
  // The first code of the file is .init or .plt; past .fini nothing is described any more.
  auto* header = reinterpret_cast<Elf64_Ehdr*>(bytes->data());
  const auto described = read_table(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(described);
  const Segment& code = described->segments.at(0);
  uint64_t hole = code.address + code.file_size - 1;
  ASSERT_EQ(LT_UNWIND_ROW_CFA(described->find(hole).value()), __u32{LT_UNWIND_CFA_NONE});
  header->e_entry = hole;
  const auto table = read_table(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(table);
  EXPECT_EQ(LT_UNWIND_ROW_CFA(table->find(hole).value()), __u32{LT_UNWIND_CFA_END});
}

TEST(Table, RefusesWhatItCannotUnwind) {
  const UniqueFd text(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(read_table(text.get()));
  EXPECT_FALSE(read_table(-1));

  auto bytes = read_file("/proc/self/exe");
  ASSERT_TRUE(bytes);
  reinterpret_cast<Elf64_Ehdr*>(bytes->data())->e_machine = EM_RISCV;
  const auto table = read_table(std::as_bytes(std::span(*bytes)));
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().message(), testing::HasSubstr("frame pointers"));
}

TEST(Table, SurvivesDamagedFiles) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&elf_version), &info), 0);
  auto pristine = read_file(info.dli_fname);
  ASSERT_TRUE(pristine);
  std::mt19937_64 random(7);
  for (int round = 0; round < 60; ++round) {
    std::string bytes = *pristine;
    if (round % 4 == 0) bytes.resize(random() % bytes.size());
    for (int flips = 0; flips < 200 && !bytes.empty(); ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto table = read_table(std::as_bytes(std::span(bytes)));
    if (table) expect_sound(*table);
  }
}

}  // namespace
}  // namespace leaktrace::unwind
