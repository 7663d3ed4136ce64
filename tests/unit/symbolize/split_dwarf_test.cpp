// SPDX-License-Identifier: Apache-2.0
// Split DWARF as .dwo files and as packages (.dwp), on the host and in a container's tree.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using model::SourceFrame;
using ::testing::HasSubstr;

struct Dialect {
  const char* compiler;
  const char* version;
};

class SplitDwarf : public ::testing::TestWithParam<Dialect> {
 protected:
  void SetUp() override {
    if (!have_program(GetParam().compiler))
      GTEST_SKIP() << GetParam().compiler << " is not installed";
    fs::create_directories(build_);
    fs::create_directories(root_ / "opt/app");
    const std::string flags =
        fmt::format("{} -O2 {} -gsplit-dwarf", GetParam().compiler, GetParam().version);
    const std::string sources =
        fmt::format("{}/tests/unit/symbolize/fixtures", LEAKTRACE_SOURCE_DIR);
    run(fmt::format("cd '{}' && {} -c '{}/chain.cpp' -o chain.o && {} chain.o -o prog",
                    build_.string(), flags, sources, GetParam().compiler));
    std::ofstream(build_ / "other.cpp") << "struct Other { int value; };\n"
                                           "int other(Other& o) { return o.value; }\n";
    run(fmt::format("cd '{}' && {} -c other.cpp -o other.o", build_.string(), flags));
    address_ = own_addresses(build_ / "prog").at("holder") - 1;
    fs::copy_file(build_ / "prog", root_ / "opt/app/prog");
  }

  /// A package of two units, of which the program is the second.
  void pack(const fs::path& package) {
    fs::create_directories(package.parent_path());
    run(fmt::format("cd '{}' && timeout 20 llvm-dwp other.dwo chain.dwo -o '{}'", build_.string(),
                    package.string()));
    fs::remove(build_ / "chain.dwo");
  }
  std::vector<SourceFrame> look_up(const fs::path& path, const std::string& root) {
    LocalSymbolizer symbolizer;
    symbolizer.add_module({kModule, path, "", {}, root_at(root)});
    auto frames = symbolizer.look_up(kModule, address_);
    losses_ = symbolizer.file_losses();
    return frames;
  }
  void expect_whole(const std::vector<SourceFrame>& frames) {
    ASSERT_EQ(frames.size(), 4U);
    EXPECT_EQ(frames[0].function, "int shapes::Box::innermost<int>(int)");
    EXPECT_EQ(frames[3].function, "shapes::holder(int)");
    const auto lines = marked_lines("chain.cpp");
    EXPECT_EQ(frames[0].line, lines.at("innermost"));
    EXPECT_EQ(frames[1].line, lines.at("middle"));
    EXPECT_EQ(frames[3].line, lines.at("holder"));
    for (const SourceFrame& frame : frames) EXPECT_THAT(frame.file, HasSubstr("chain.cpp"));
    EXPECT_TRUE(losses_.empty()) << losses_.front().why;
  }

  TemporaryFolder folder_;
  fs::path build_ = folder_.path() / "build";
  fs::path root_ = folder_.path() / "root";
  std::uint64_t address_ = 0;
  std::vector<model::FileLoss> losses_;
};

class SplitPackages : public SplitDwarf {
 protected:
  void SetUp() override {
    if (!have_program("llvm-dwp")) GTEST_SKIP() << "llvm-dwp is not installed";
    SplitDwarf::SetUp();
  }
};

TEST_P(SplitDwarf, IsFoundInTheFolderOfTheCompilation) {
  expect_whole(look_up(build_ / "prog", ""));
}

TEST_P(SplitDwarf, IsFoundUnderTheRootOfTheProcess) {
  fs::create_directories(root_ / build_.relative_path());
  fs::rename(build_ / "chain.dwo", root_ / build_.relative_path() / "chain.dwo");
  expect_whole(look_up("/opt/app/prog", root_));
  fs::rename(root_ / build_.relative_path() / "chain.dwo", root_ / "opt/app/chain.dwo");
  expect_whole(look_up("/opt/app/prog", root_));
}

TEST_P(SplitDwarf, ThatIsMissingIsALossAndTheLineIsStillKnown) {
  fs::remove(build_ / "chain.dwo");
  const auto frames = look_up(build_ / "prog", "");
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].function, "shapes::holder(int)") << "by the symbol table";
  EXPECT_EQ(frames[0].line, marked_lines("chain.cpp").at("innermost"));
  ASSERT_EQ(losses_.size(), 1U);
  EXPECT_EQ(losses_[0].path, build_ / "prog");
  EXPECT_EQ(losses_[0].count, 1U);
  EXPECT_THAT(losses_[0].why, HasSubstr("chain.dwo"));
}

TEST_P(SplitDwarf, OfAnotherCompilationIsNotTaken) {
  fs::copy_file(build_ / "other.dwo", build_ / "chain.dwo", fs::copy_options::overwrite_existing);
  EXPECT_EQ(look_up(build_ / "prog", "").size(), 1U);
  EXPECT_EQ(losses_.size(), 1U);
}

TEST_P(SplitPackages, AreFoundBesideTheProgram) {
  pack(build_ / "prog.dwp");
  expect_whole(look_up(build_ / "prog", ""));
}

TEST_P(SplitPackages, AreFoundUnderTheRootOfTheProcess) {
  const std::string id = output_of(fmt::format(
      "readelf -n '{}' | sed -n 's/ *Build ID: *//p' | tr -d '\\n'", (build_ / "prog").string()));
  const fs::path by_id =
      fmt::format("usr/lib/debug/.build-id/{}/{}.dwp", id.substr(0, 2), id.substr(2));
  const fs::path whole = folder_.path() / "whole.dwp";
  pack(whole);
  for (const fs::path& place :
       {fs::path("opt/app/prog.dwp"), fs::path("usr/lib/debug/opt/app/prog.dwp"), by_id}) {
    SCOPED_TRACE(place);
    fs::create_directories((root_ / place).parent_path());
    fs::copy_file(whole, root_ / place);
    expect_whole(look_up("/opt/app/prog", root_));
    fs::remove(root_ / place);
    EXPECT_EQ(look_up("/opt/app/prog", root_).size(), 1U);
  }
}

TEST_P(SplitPackages, ThatAreDamagedDoNoHarm) {
  pack(build_ / "prog.dwp");
  std::ifstream file(build_ / "prog.dwp", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::mt19937 random(23);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = whole;
    if (round % 4 == 0) damaged.resize(random() % damaged.size());
    // The index lies at the end, before the section headers.
    const std::size_t from = round % 2 == 0 ? 0 : damaged.size() * 3 / 4;
    for (int i = 0; i < 8 && damaged.size() > from; ++i) {
      damaged[from + random() % (damaged.size() - from)] = static_cast<char>(random());
    }
    std::ofstream(build_ / "prog.dwp", std::ios::binary) << damaged;
    EXPECT_FALSE(look_up(build_ / "prog", "").empty());
  }
}

std::string dialect_name(const ::testing::TestParamInfo<Dialect>& info) {
  return fmt::format("{}{}", info.param.compiler[0] == 'g' ? "gcc" : "clang",
                     std::string_view(info.param.version).back());
}

INSTANTIATE_TEST_SUITE_P(Compilers, SplitDwarf,
                         ::testing::Values(Dialect{"g++", "-gdwarf-4"}, Dialect{"g++", "-gdwarf-5"},
                                           Dialect{"clang++", "-gdwarf-4"},
                                           Dialect{"clang++", "-gdwarf-5"}),
                         dialect_name);
// Of GCC's DWARF 5 no package can be made on Debian 12: llvm-dwp 14 does not end, binutils' dwp
// crashes.
INSTANTIATE_TEST_SUITE_P(Compilers, SplitPackages,
                         ::testing::Values(Dialect{"g++", "-gdwarf-4"},
                                           Dialect{"clang++", "-gdwarf-4"},
                                           Dialect{"clang++", "-gdwarf-5"}),
                         dialect_name);

}  // namespace
}  // namespace leaktrace::symbolize::test
