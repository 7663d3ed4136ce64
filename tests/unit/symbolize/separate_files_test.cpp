// SPDX-License-Identifier: Apache-2.0
// Debug information that lies in other files, and files that are not what they were.
#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using model::SourceFrame;

std::string build_id_of(const fs::path& file) {
  return output_of(
      fmt::format("readelf -n '{}' | sed -n 's/ *Build ID: *//p' | tr -d '\\n'", file.string()));
}

/// A program without debug information in the tree of a container, in which only `root_` is
/// looked at, and its debug file somewhere else.
class SeparateFiles : public ::testing::Test {
 protected:
  /// Splits the fixture: root/opt/app/prog, and `debug` (a path below root).
  void split(const std::string& name, const fs::path& debug, const std::string& extra = {}) {
    const std::string original = fixture(name);
    address_ = own_addresses(original).at("holder") - 1;
    fs::create_directories(root_ / "opt/app");
    fs::create_directories((root_ / debug).parent_path());
    run(fmt::format("objcopy --only-keep-debug '{}' '{}'", original, (root_ / debug).string()));
    run(fmt::format("strip --strip-all {} -o '{}' '{}'", extra, on_disk().string(), original));
  }
  void add_link(const fs::path& debug) {
    run(fmt::format("objcopy --add-gnu-debuglink='{}' '{}'", (root_ / debug).string(),
                    on_disk().string()));
  }
  [[nodiscard]] fs::path on_disk() const { return root_ / "opt/app/prog"; }
  [[nodiscard]] std::vector<SourceFrame> look_up() const {
    return look_up_in("/opt/app/prog", address_, root_);
  }
  [[nodiscard]] std::vector<SourceFrame> look_up(ModuleFile module) const {
    LocalSymbolizer symbolizer;
    symbolizer.add_module(std::move(module));
    return symbolizer.look_up(kModule, address_);
  }
  static std::string debug_path(const std::string& build_id) {
    return fmt::format("usr/lib/debug/.build-id/{}/{}.debug", build_id.substr(0, 2),
                       build_id.substr(2));
  }
  static void expect_whole(const std::vector<SourceFrame>& frames) {
    ASSERT_EQ(frames.size(), 4u);
    EXPECT_EQ(frames[0].function, "int shapes::Box::innermost<int>(int)");
    EXPECT_EQ(frames[0].line, marked_lines("chain.cpp").at("innermost"));
    EXPECT_EQ(frames[3].function, "shapes::holder(int)");
  }
  void expect_unknown(const std::vector<SourceFrame>& frames) {
    EXPECT_EQ(frames, std::vector<SourceFrame>{SourceFrame{}});
  }

  TemporaryFolder folder_;
  fs::path root_ = folder_.path() / "root";
  std::uint64_t address_ = 0;
};

TEST_F(SeparateFiles, AreFoundByBuildId) {
  split("chain.dwarf5", debug_path(build_id_of(fixture("chain.dwarf5"))));
  expect_whole(look_up());
}

TEST_F(SeparateFiles, AreFoundByBuildIdWhenTheProgramIsGone) {
  const std::string id = build_id_of(fixture("chain.dwarf5"));
  split("chain.dwarf5", debug_path(id));
  expect_whole(look_up({kModule, "/no/such/file", id, {}, root_at(root_)}));
}

TEST_F(SeparateFiles, OfAnotherBuildAreNotTaken) {
  split("chain.dwarf5", debug_path(build_id_of(fixture("chain.dwarf4"))));
  fs::create_directories((root_ / debug_path(build_id_of(on_disk()))).parent_path());
  fs::copy_file(fixture("chain.dwarf4"), root_ / debug_path(build_id_of(on_disk())));
  expect_unknown(look_up());
}

TEST_F(SeparateFiles, AreFoundByLinkInEachFolder) {
  for (const char* debug :
       {"opt/app/prog.debug", "opt/app/.debug/prog.debug", "usr/lib/debug/opt/app/prog.debug"}) {
    SCOPED_TRACE(debug);
    split("chain.dwarf4", debug);
    add_link(debug);
    expect_whole(look_up());
    fs::remove(root_ / debug);
    expect_unknown(look_up());
  }
}

TEST_F(SeparateFiles, WithoutBuildIdsAreComparedByChecksum) {
  split("chain.noid", "opt/app/prog.debug");
  add_link("opt/app/prog.debug");
  expect_whole(look_up());
  std::ofstream(root_ / "opt/app/prog.debug", std::ios::app) << "one more line";
  expect_unknown(look_up());
}

TEST_F(SeparateFiles, ALinkThatNamesAPipeDoesNotBlock) {
  split("chain.noid", "opt/app/prog.debug");
  add_link("opt/app/prog.debug");
  fs::remove(root_ / "opt/app/prog.debug");
  ASSERT_EQ(::mkfifo((root_ / "opt/app/prog.debug").c_str(), 0600), 0);
  expect_unknown(look_up());
}

TEST_F(SeparateFiles, AbsoluteSymbolicLinksStayWithinTheRoot) {
  split("chain.dwarf5", "var/real.debug");
  const fs::path link = root_ / debug_path(build_id_of(on_disk()));
  fs::create_directories(link.parent_path());
  fs::create_symlink("/var/real.debug", link);
  expect_whole(look_up());
}

TEST_F(SeparateFiles, SharedPartsInADwzFileAreFollowed) {
  if (!have_program("dwz")) GTEST_SKIP() << "dwz is not installed";
  split("chain.dwarf4", "opt/app/a.debug");
  // dwz shares what two files have in common.
  fs::copy_file(root_ / "opt/app/a.debug", root_ / "opt/app/b.debug");
  run(fmt::format("cd '{}' && dwz -m common.debug -r a.debug b.debug",
                  (root_ / "opt/app").string()));
  ASSERT_TRUE(fs::exists(root_ / "opt/app/common.debug"));
  add_link("opt/app/a.debug");
  expect_whole(look_up());
  fs::remove(root_ / "opt/app/common.debug");
  const auto frames = look_up();
  ASSERT_EQ(frames.size(), 4u) << "without the shared part the places are still known";
  EXPECT_EQ(frames[0].line, marked_lines("chain.cpp").at("innermost"));
}

TEST_F(SeparateFiles, AModuleWithoutDescriptorIsOpenedByItsPathUnderTheRoot) {
  split("chain.dwarf5", debug_path(build_id_of(fixture("chain.dwarf5"))));
  expect_whole(look_up({kModule, "/opt/app/prog", "", {}, root_at(root_)}));
  expect_whole(look_up({kModule, "/opt/app/prog", build_id_of(on_disk()), {}, root_at(root_)}));
}

TEST_F(SeparateFiles, AModuleWithoutDescriptorIsOpenedByItsPathOnTheHost) {
  address_ = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const std::string path = fixture("chain.dwarf5");
  const std::string id = build_id_of(path);
  expect_whole(look_up({kModule, path, "", {}, {}}));
  expect_whole(look_up({kModule, path, id, {}, {}}));
  // A process with another root may have chosen the name: nothing on the host is opened by it.
  expect_unknown(look_up({kModule, path, id, {}, root_at(folder_.path())}));
  expect_unknown(look_up({kModule, path, "", {}, root_at(folder_.path())}));
}

TEST_F(SeparateFiles, AFileOfAnotherBuildThanTheTracedOneIsNotUsed) {
  address_ = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const std::string path = fixture("chain.dwarf5");
  const std::string other = build_id_of(fixture("chain.dwarf4"));
  expect_unknown(look_up({kModule, path, other, {}, {}}));
  expect_unknown(
      look_up({kModule, path, other, UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), {}}));
}

TEST_F(SeparateFiles, AFileThatWasDeletedIsReadThroughItsDescriptor) {
  address_ = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const std::string copy = folder_.path() / "copy";
  fs::copy_file(fixture("chain.dwarf5"), copy);
  UniqueFd fd(::open(copy.c_str(), O_RDONLY | O_CLOEXEC));
  fs::remove(copy);
  expect_whole(look_up({kModule, copy, "", std::move(fd), {}}));
}

TEST_F(SeparateFiles, AFileThatIsCutWhileItIsOpenGivesNoNamesAndNoCrash) {
  address_ = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const std::string copy = folder_.path() / "copy";
  fs::copy_file(fixture("chain.dwarf5"), copy);
  LocalSymbolizer symbolizer;
  symbolizer.add_module({kModule, copy, "", UniqueFd(::open(copy.c_str(), O_RDONLY)), {}});
  expect_whole(symbolizer.look_up(kModule, address_));
  fs::resize_file(copy, 100);
  expect_unknown(symbolizer.look_up(kModule, address_));
  expect_unknown(symbolizer.look_up(kModule, address_ + 100));
}

TEST_F(SeparateFiles, AModuleThatWasNeverAddedIsUnknown) {
  LocalSymbolizer symbolizer;
  expect_unknown(symbolizer.look_up(model::ModuleId{42}, 0x1000));
}

TEST_F(SeparateFiles, WhatIsNoElfFileIsUnknown) {
  std::ofstream(folder_.path() / "text") << "#!/bin/sh\n";
  expect_unknown(look_up({kModule, folder_.path() / "text", "", {}, {}}));
  expect_unknown(look_up({kModule, "/dev/zero", "", {}, {}}));
  expect_unknown(look_up({kModule, "[heap]", "", {}, {}}));
}

TEST_F(SeparateFiles, ManyModulesAreClosedAndReadAgain) {
  const std::string path = fixture("chain.dwarf5");
  address_ = own_addresses(path).at("holder") - 1;
  LocalSymbolizer symbolizer;
  for (std::uint32_t i = 1; i <= 600; ++i) symbolizer.add_module({{i}, path, "", {}, {}});
  for (std::uint32_t i = 1; i <= 600; ++i) (void)symbolizer.look_up({i}, address_);
  expect_whole(symbolizer.look_up({1}, address_));
  expect_whole(symbolizer.look_up({600}, address_));
}

}  // namespace
}  // namespace leaktrace::symbolize::test
