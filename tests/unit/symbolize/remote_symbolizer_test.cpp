// SPDX-License-Identifier: Apache-2.0
// Names that come from another process are those that this one would have read; what ends that
// process is a loss, and no more.
#include "user/symbolize/remote_symbolizer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/symbolize/fixture.h"
#include "tests/unit/symbolize/huge_tree.h"
#include "tests/unit/worker_process.h"

namespace leaktrace::symbolize::test {
namespace {

using leaktrace::test::worker;

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<RemoteSymbolizer> make_remote(const WorkBounds& bounds = {}) {
  auto remote = RemoteSymbolizer::create(bounds);
  EXPECT_TRUE(remote);
  return std::move(*remote);
}

ModuleFile module_of(const fs::path& path, model::ModuleId id = kModule) {
  return {id, path, "", UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), {}};
}

std::string losses(const Symbolizer& symbolizer) {
  std::string text;
  for (const auto& loss : symbolizer.file_losses()) {
    text += fmt::format("{} ({}): {}\n", loss.path, loss.count, loss.why);
  }
  return text;
}

class RemoteFixture : public ::testing::TestWithParam<std::string> {};

TEST_P(RemoteFixture, GivesTheNamesThatThisProcessWouldRead) {
  const fs::path file = fixture(GetParam());
  const auto remote = make_remote();
  LocalSymbolizer local;
  remote->add_module(module_of(file));
  local.add_module(module_of(file));
  for (std::uint64_t base : {std::uint64_t{0x1000}, std::uint64_t{0x401000}}) {
    for (std::uint64_t at = 0; at < 0x800; at += 13) {
      EXPECT_EQ(remote->look_up(kModule, base + at), local.look_up(kModule, base + at));
    }
  }
  EXPECT_EQ(losses(*remote), losses(local));
}

INSTANTIATE_TEST_SUITE_P(All, RemoteFixture, ::testing::ValuesIn(fixtures_like("")), case_name);

TEST(RemoteSymbolizer, FindsDebugFilesInTheRootOfTheModule) {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "root";
  fs::create_directories(root / "opt/.debug");
  const fs::path program = root / "opt/program";
  run(fmt::format("objcopy --only-keep-debug '{}' '{}'", fixture("chain.noid").string(),
                  (root / "opt/.debug/program.debug").string()));
  run(fmt::format(
      "cd '{}' && objcopy --strip-all --add-gnu-debuglink=.debug/program.debug '{}' '{}'",
      (root / "opt").string(), fixture("chain.noid").string(), program.string()));
  const auto address = own_addresses(fixture("chain.noid")).at("holder") - 1;
  const auto remote = make_remote();
  remote->add_module({kModule, "/opt/program", "", {}, root_at(root)});
  EXPECT_EQ(remote->look_up(kModule, address), look_up_in(fixture("chain.noid"), address));
}

TEST(RemoteSymbolizer, OfAnUnknownModuleNothingIsKnown) {
  const auto remote = make_remote();
  EXPECT_EQ(remote->look_up(kModule, 1), std::vector<model::SourceFrame>(1));
  EXPECT_THAT(remote->file_losses(), IsEmpty());
}

TEST(RemoteSymbolizer, GoesOnWhenTheProcessIsKilledAndSaysSo) {
  const auto address = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const auto expected = look_up_in(fixture("chain.dwarf5"), address);
  const auto remote = make_remote();
  remote->add_module(module_of(fixture("chain.dwarf5")));
  ASSERT_EQ(remote->look_up(kModule, address), expected);
  ASSERT_EQ(::kill(worker(), SIGKILL), 0);
  EXPECT_EQ(remote->look_up(kModule, address), expected);
  EXPECT_THAT(
      losses(*remote),
      HasSubstr("chain.dwarf5 (1): the process that reads its symbols was killed (SIGKILL)"));
}

TEST(RemoteSymbolizer, GivesAModuleUpThatEndsTheProcessAgainAndAgainButNoOther) {
  const auto address = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  const auto remote = make_remote();
  constexpr model::ModuleId kOther{2};
  remote->add_module(module_of(fixture("chain.dwarf5")));
  remote->add_module(module_of(fixture("chain.dwarf4"), kOther));
  for (int i = 0; i < 2; ++i) {
    (void)remote->look_up(kModule, address);
    ASSERT_EQ(::kill(worker(), SIGSEGV), 0);
  }
  EXPECT_EQ(remote->look_up(kModule, address), std::vector<model::SourceFrame>(1));
  EXPECT_THAT(losses(*remote), HasSubstr("chain.dwarf5 (0): it gives no more names: the "
                                         "process that reads its symbols crashed (SIGSEGV)"));
  const auto other = own_addresses(fixture("chain.dwarf4")).at("holder") - 1;
  EXPECT_EQ(remote->look_up(kOther, other), look_up_in(fixture("chain.dwarf4"), other));
}

TEST(RemoteSymbolizer, CutsAFileThatTakesTooLong) {
  const TemporaryFolder folder;
  const fs::path program = folder.path() / "program";
  fs::copy_file(fixture("tables.so"), program);
  add_huge_tree(program, std::size_t{64} << 20);
  ASSERT_LT(fs::file_size(program), 1U << 20);
  const auto remote = make_remote({.cpu_seconds = 0.2});
  constexpr model::ModuleId kOther{2};
  remote->add_module(module_of(program));
  remote->add_module(module_of(fixture("chain.dwarf5"), kOther));
  EXPECT_EQ(remote->look_up(kModule, 0x1100), std::vector<model::SourceFrame>(1));
  EXPECT_THAT(losses(*remote), HasSubstr("took longer than it may (0.2 s of CPU time)"));
  EXPECT_THAT(losses(*remote), HasSubstr(program.string()));
  EXPECT_EQ(remote->look_up(kModule, 0x1200), std::vector<model::SourceFrame>(1)) << "at once";
  const auto address = own_addresses(fixture("chain.dwarf5")).at("holder") - 1;
  EXPECT_EQ(remote->look_up(kOther, address), look_up_in(fixture("chain.dwarf5"), address));
}

TEST(RemoteSymbolizer, SurvivesDamagedFiles) {
  std::ifstream file(fixture("chain.dwarf5"), std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  const TemporaryFolder folder;
  const auto remote = make_remote();
  std::mt19937 random(23);
  for (std::uint32_t round = 1; round <= 100; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 30; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    const fs::path path = folder.path() / std::to_string(round);
    std::ofstream(path, std::ios::binary) << damaged;
    remote->add_module(module_of(path, {round}));
    for (std::uint64_t at = 0x1000; at < 0x1400; at += 31) {
      EXPECT_FALSE(remote->look_up({round}, at).empty());
    }
  }
}

}  // namespace
}  // namespace leaktrace::symbolize::test
