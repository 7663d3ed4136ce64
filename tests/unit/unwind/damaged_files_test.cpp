// SPDX-License-Identifier: Apache-2.0
// What a file lost is counted, and the rest of it still unwinds.
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "user/base/file.h"
#include "user/unwind/table.h"
#include "user/unwind/table_check.h"

namespace leaktrace::unwind {
namespace {

using testing::HasSubstr;

/// A file in memory whose headers can be found and changed.
class Elf64 {
 public:
  explicit Elf64(const std::string& path) : bytes_(*read_file(path)) {}

  template <typename T>
  T& at(size_t offset) {
    return *reinterpret_cast<T*>(bytes_.data() + offset);
  }
  Elf64_Ehdr& header() { return at<Elf64_Ehdr>(0); }
  Elf64_Shdr& section(const std::string& name) {
    const size_t table = header().e_shoff;
    const auto& names = at<Elf64_Shdr>(table + header().e_shstrndx * sizeof(Elf64_Shdr));
    for (size_t i = 0; i < header().e_shnum; ++i) {
      auto& section = at<Elf64_Shdr>(table + i * sizeof(Elf64_Shdr));
      if (name == bytes_.data() + names.sh_offset + section.sh_name) return section;
    }
    throw std::runtime_error("no section " + name);
  }
  [[nodiscard]] std::string& bytes() { return bytes_; }

  [[nodiscard]] Result<Table> read() const {
    const UniqueFd fd(::memfd_create("damaged", MFD_CLOEXEC));
    EXPECT_TRUE(write_all(fd.get(), bytes_));
    auto table = read_table(fd.get());
    if (table) {
      EXPECT_TRUE(is_sound(*table));
    }
    return table;
  }

 private:
  std::string bytes_;
};

class DamagedUnwindInformation : public testing::Test {
 protected:
  struct Entry {
    size_t offset;
    uint32_t length;
    bool is_cie;
  };
  /// Those of .eh_frame.
  std::vector<Entry> entries() {
    std::vector<Entry> found;
    size_t at = file_.section(".eh_frame").sh_offset;
    while (const uint32_t length = file_.at<uint32_t>(at)) {
      found.push_back({at, length, file_.at<uint32_t>(at + 4) == 0});
      at += length + 4;
    }
    return found;
  }

  Elf64 file_{"/proc/self/exe"};
  Table whole_ = *file_.read();
};

TEST_F(DamagedUnwindInformation, IsNotThereInAWholeFile) {
  EXPECT_EQ(whole_.skipped_ranges, 0U);
  EXPECT_GT(whole_.described_ranges, 100U);
}

TEST_F(DamagedUnwindInformation, ASectionOfRubbish) {
  const auto& section = file_.section(".eh_frame");
  std::fill_n(file_.bytes().begin() + static_cast<long>(section.sh_offset), section.sh_size,
              '\x77');
  const auto table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_GT(table->skipped_ranges, 0U);
  EXPECT_EQ(table->described_ranges, 0U);
}

TEST_F(DamagedUnwindInformation, ASectionOutsideOfTheFile) {
  file_.section(".eh_frame").sh_offset = uint64_t{1} << 62;
  auto table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_GT(table->skipped_ranges, 0U);
  file_.section(".eh_frame").sh_size = ~uint64_t{0};
  table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_GT(table->skipped_ranges, 0U);
}

TEST_F(DamagedUnwindInformation, ASectionOfNoLengthIsNoDamage) {
  file_.section(".eh_frame").sh_size = 0;
  const auto table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->skipped_ranges, 0U);
  EXPECT_EQ(table->described_ranges, 0U);
}

// All functions of a program share a few CIEs.
TEST_F(DamagedUnwindInformation, CiesThatManyShare) {
  uint64_t functions = 0;
  for (const Entry& entry : entries()) {
    if (entry.is_cie) {
      file_.at<char>(entry.offset + 10) = 'Q';  // length, id, version, "z?"
    } else {
      ++functions;
    }
  }
  const auto table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->skipped_ranges, functions);
  EXPECT_EQ(table->described_ranges, 0U);
}

TEST_F(DamagedUnwindInformation, TheInstructionsOfOneFunction) {
  for (const Entry& entry : entries()) {
    // Length, CIE pointer, start, size, length of the augmentation: none.
    if (entry.is_cie || entry.length < 60 || file_.at<uint8_t>(entry.offset + 16) != 0) continue;
    std::fill_n(file_.bytes().begin() + static_cast<long>(entry.offset) + 17, 8, '\x0b');
    break;
  }
  const auto table = file_.read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->skipped_ranges, 1U) << "a state was restored that nobody saved";
  EXPECT_EQ(table->described_ranges, whole_.described_ranges);
  const Segment& code = table->segments.at(0);
  uint64_t differing = 0;
  for (uint64_t offset = 0; offset < code.file_size; offset += 16) {
    if (table->find(code.address + offset) != whole_.find(code.address + offset)) ++differing;
  }
  EXPECT_LT(differing, code.file_size / 16 / 20) << "other functions are as before";
}

TEST_F(DamagedUnwindInformation, AFileThatIsCutOff) {
  for (const size_t left : {size_t{0}, size_t{3}, size_t{40}, sizeof(Elf64_Ehdr)}) {
    Elf64 cut = file_;
    cut.bytes().resize(left);
    const auto table = cut.read();
    EXPECT_TRUE(!table || table->described_ranges == 0) << left;
  }
  Elf64 cut = file_;
  const auto& section = file_.section(".eh_frame");
  cut.bytes().resize(section.sh_offset + section.sh_size / 2);  // no section headers any more
  const auto table = cut.read();
  EXPECT_TRUE(!table || table->described_ranges < whole_.described_ranges);
}

TEST_F(DamagedUnwindInformation, OtherMachinesAndClassesAreNamed) {
  Elf64 other = file_;
  other.header().e_machine = EM_RISCV;
  auto table = other.read();
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().what, HasSubstr("x86-64 or arm64"));
  other = file_;
  other.bytes().replace(0, 4, "#!/b");
  table = other.read();
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().what, HasSubstr("ELF"));
}

#ifdef MANY_ROWS
TEST(ManyRows, AreCutInOneFunctionAndCounted) {
  const auto start = std::chrono::steady_clock::now();
  const auto table = Elf64(MANY_ROWS).read();
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->skipped_ranges, 1U);
  EXPECT_LE(table->rows.size(), 20000U);
  EXPECT_GT(table->rows.size(), 10000U);
  // libdw runs a function's instructions from their start for each row: without the bound, minutes
  // for a file of a megabyte.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}
#endif

}  // namespace
}  // namespace leaktrace::unwind
