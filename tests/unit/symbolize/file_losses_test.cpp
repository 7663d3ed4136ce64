// SPDX-License-Identifier: Apache-2.0
// Files that lie or lead astray: each is a named loss of that file, and no more.
#include "user/symbolize/file_losses.h"

#include <elf.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(FileLosses, AddUpByFileAndCause) {
  FileLosses losses;
  losses.add("/a", "units", 2);
  losses.add("/a", "units", 3);
  losses.add("/b", "gone");
  losses.add("/b", "lines", 7);
  const auto list = losses.list();
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_EQ(list[0], (model::FileLoss{"/a", model::FileSubject::symbols, 5, "units"}));
  EXPECT_EQ(list[1], (model::FileLoss{"/b", model::FileSubject::symbols, 0, "gone; lines"}));
}

TEST(FileLosses, OfOneFileAreBounded) {
  FileLosses losses;
  for (int i = 0; i < 1000; ++i) losses.add("/a", fmt::format("cause {}", i), 1);
  ASSERT_THAT(losses.list(), SizeIs(1));
  EXPECT_EQ(losses.list()[0].count, 1000U);
  EXPECT_LT(losses.list()[0].why.size(), 400U);
}

/// A file in memory, of which single fields are changed.
class Image {
 public:
  explicit Image(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  [[nodiscard]] Elf64_Ehdr& header() { return *reinterpret_cast<Elf64_Ehdr*>(bytes_.data()); }
  [[nodiscard]] Elf64_Shdr& section(const std::string& name) {
    auto* table = reinterpret_cast<Elf64_Shdr*>(bytes_.data() + header().e_shoff);
    const char* names = bytes_.data() + table[header().e_shstrndx].sh_offset;
    for (int i = 0; i < header().e_shnum; ++i) {
      if (name == names + table[i].sh_name) return table[i];
    }
    ADD_FAILURE() << "no section " << name;
    return table[0];
  }
  template <typename T>
  void set(const std::string& section_name, std::size_t at, T value) {
    std::memcpy(bytes_.data() + section(section_name).sh_offset + at, &value, sizeof(value));
  }
  void write(const fs::path& path) const {
    std::ofstream(path, std::ios::binary) << std::string(bytes_.begin(), bytes_.end());
  }

 private:
  std::vector<char> bytes_;
};

class BadFile : public ::testing::Test {
 protected:
  /// The losses after a look-up at `address` of the file in `path_`.
  std::vector<model::FileLoss> losses(std::uint64_t address = 0x1160) {
    LocalSymbolizer symbolizer;
    symbolizer.add_module({kModule, path_, "", {}, root_at(root_)});
    frames_ = symbolizer.look_up(kModule, address);
    (void)symbolizer.look_up(kModule, address + 1);
    return symbolizer.file_losses();
  }
  void expect_loss(const std::vector<model::FileLoss>& list, const std::string& path,
                   const std::string& why) {
    ASSERT_THAT(list, SizeIs(1));
    EXPECT_EQ(list[0].path, path);
    EXPECT_THAT(list[0].why, HasSubstr(why));
    EXPECT_EQ(list[0].subject, model::FileSubject::symbols);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.path() / "prog";
  std::string root_;
  std::vector<model::SourceFrame> frames_;
};

TEST_F(BadFile, AGoodOneIsNoLoss) {
  path_ = fixture("chain.dwarf5");
  EXPECT_THAT(losses(own_addresses(path_).at("holder") - 1), IsEmpty());
  path_ = "[heap]";
  EXPECT_THAT(losses(), IsEmpty());
}

TEST_F(BadFile, ThatIsGoneOrNoElfFile) {
  expect_loss(losses(), path_, "No such file");
  std::ofstream(path_) << "#!/bin/sh\n";
  expect_loss(losses(), path_, "not an ELF file");
}

TEST_F(BadFile, SectionHeadersOutsideOfTheFile) {
  Image image(fixture("chain.dwarf5"));
  image.header().e_shoff = std::uint64_t{1} << 40;
  image.write(path_);
  expect_loss(losses(), path_, "sections lie outside");
}

TEST_F(BadFile, DebugInformationOutsideOfTheFileOrEmpty) {
  for (bool outside : {true, false}) {
    Image image(fixture("chain.dwarf5"));
    auto& section = image.section(".debug_info");
    (outside ? section.sh_offset : section.sh_size) = outside ? std::uint64_t{1} << 40 : 0;
    image.write(path_);
    const auto list = losses(own_addresses(fixture("chain.dwarf5")).at("holder") - 1);
    EXPECT_EQ(frames_.back().function, "shapes::holder(int)") << "by the symbol table";
    if (outside) expect_loss(list, path_, "cannot read its DWARF");
  }
}

TEST_F(BadFile, ALineTableWithAnAbsurdHeader) {
  Image image(fixture("chain.dwarf5"));
  image.set(".debug_line", 0, std::uint32_t{0xffffff00});  // its length
  image.write(path_);
  expect_loss(losses(own_addresses(fixture("chain.dwarf5")).at("holder") - 1), path_,
              "lines cannot be read");
  EXPECT_EQ(frames_.size(), 4U) << "functions are still known";
}

TEST_F(BadFile, DebugInformationThatLeadsInCircles) {
  path_ = fixture("loops.so");
  const auto list = losses(nm(path_).at("round") + 4);
  EXPECT_EQ(frames_.back().function, "round");
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_THAT(list[0].why, HasSubstr("origin leads in circles"));
  EXPECT_THAT(list[0].why, HasSubstr("functions cannot be read"));
}

TEST_F(BadFile, CompressedSectionsThatStandForTerabytes) {
  Image image(fixture("chain.gz"));
  image.set(".debug_info", offsetof(Elf64_Chdr, ch_size), std::uint64_t{1} << 42);
  image.write(path_);
  expect_loss(losses(own_addresses(fixture("chain.gz")).at("holder") - 1), path_,
              "would take 4194304 MiB");
  EXPECT_EQ(frames_.back().function, "shapes::holder(int)");
}

TEST_F(BadFile, PackedSymbolsThatStandForGigabytes) {
  run(
      fmt::format("head -c 70M /dev/zero | xz -1 > '{0}/bomb' && objcopy --strip-all "
                  "--add-section .gnu_debugdata='{0}/bomb' '{1}' '{2}'",
                  folder_.path().string(), fixture("chain.dwarf5").string(), path_));
  expect_loss(losses(), path_, ".gnu_debugdata: xz data that unpacks to more than 64 MiB");
}

TEST_F(BadFile, ADebugFileOfAnotherProcessorOrBuild) {
  root_ = folder_.path();
  fs::create_directories(folder_.path() / "opt");
  const auto in_opt = [&](const char* name) { return folder_.path() / "opt" / name; };
  run(fmt::format(
      "cd '{}/opt' && objcopy --only-keep-debug '{}' prog.debug && strip -o prog '{}' "
      "&& objcopy --add-gnu-debuglink=prog.debug prog",
      folder_.path().string(), fixture("chain.dwarf4").string(), fixture("chain.dwarf4").string()));
  path_ = "/opt/prog";
  EXPECT_THAT(losses(), IsEmpty());
  Image image(in_opt("prog.debug"));
  image.header().e_machine = EM_68K;
  image.write(in_opt("prog.debug"));
  expect_loss(losses(), "/opt/prog.debug", "is for another kind of processor than /opt/prog");
  fs::copy_file(fixture("chain.dwarf5"), in_opt("prog.debug"),
                fs::copy_options::overwrite_existing);
  expect_loss(losses(), "/opt/prog.debug", "is of another build than /opt/prog");
}

TEST_F(BadFile, NamesOfAMegabyteAreCut) {
  const std::string name(1 << 20, 'n');
  std::ofstream(folder_.path() / "long.S")
      << "\t.text\n\t.globl " << name << "\n\t.type " << name << ", @function\n"
      << name << ":\t.skip 16, 0x90\n\t.size " << name << ", 16\n";
  run(fmt::format("gcc -shared -nostdlib -o '{}' '{}/long.S'", path_, folder_.path().string()));
  const auto list = losses(nm(path_).at(name) + 1);
  EXPECT_EQ(frames_.back().function, name.substr(0, 32768) + "…");
  expect_loss(list, path_, "more than 32 KiB");
}

}  // namespace
}  // namespace leaktrace::symbolize::test
