// SPDX-License-Identifier: Apache-2.0
// What another process reads of ELF files is what this one would have read; each file has a process
// of its own, and what ends that is said.
#include "user/tracer/remote_elf_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/tracer/huge_symbols.h"
#include "tests/unit/worker_process.h"
#include "user/catalog/row.h"
#include "user/tracer/elf_messages.h"
#include "user/tracer/hooks.h"
#include "user/tracer/libpq_layout.h"
#include "user/tracer/procfs.h"
#include "user/tracer/site_trial.h"

namespace leaktrace::tracer {
namespace {

using leaktrace::test::worker;

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::unique_ptr<RemoteElfReader> make_remote(const WorkBounds& bounds = {},
                                             const SandboxWork& work = RemoteElfReader::work()) {
  auto sandbox = Sandbox::create(work);
  EXPECT_TRUE(sandbox);
  return std::make_unique<RemoteElfReader>(std::move(*sandbox), bounds);
}

std::vector<catalog::Row> all_rows() {
  const auto memory = catalog::memory_rows();
  const auto postgres = catalog::postgres_rows();
  std::vector<catalog::Row> rows(memory.begin(), memory.end());
  rows.insert(rows.end(), postgres.begin(), postgres.end());
  return rows;
}

std::vector<std::string> wanted_names() {
  std::vector<std::string> names{kPythonEvaluation};
  names.insert(names.end(), kLibpqAccessors.begin(), kLibpqAccessors.end());
  for (const catalog::Row& row : all_rows()) names.push_back(row.symbol);
  return names;
}

/// Files with code that are on this machine for sure or often: those of this process, and some of
/// others.
std::vector<std::string> files_with_code() {
  std::vector<std::string> paths;
  const auto maps = read_maps(::getpid());
  if (!maps) return paths;
  for (const Mapping& mapping : *maps) {
    if (mapping.executable && mapping.is_file()) paths.push_back(mapping.path);
  }
  for (const char* other : {"/lib/x86_64-linux-gnu/libpq.so.5", "/usr/bin/python3", "/bin/sh",
                            "/lib/x86_64-linux-gnu/libjemalloc.so.2",
                            "/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"}) {
    if (fs::exists(other)) paths.emplace_back(other);
  }
  return paths;
}

UniqueFd open_file(const fs::path& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::string bytes_of(const std::vector<HookPlace>& places) {
  Packer packer;
  pack(packer, std::span<const HookPlace>(places));
  return packer.bytes();
}

std::string bytes_of(const ElfImage& image) {
  Packer packer;
  pack(packer, image);
  return packer.bytes();
}

/// All functions that the image has, with their returns.
std::vector<HookRequest> requests_for(const ElfImage& image) {
  std::vector<HookRequest> requests;
  for (const catalog::Row& row : all_rows()) {
    for (const FunctionSymbol& function : image.functions) {
      if (function.name != row.symbol) continue;
      requests.push_back({.site = {function, needs_of(row)}, .exits = row.needs_return()});
    }
  }
  return requests;
}

TEST(RemoteElfReader, ReadsFilesAsThisProcessWould) {
  const auto wanted = wanted_names();
  const auto remote = make_remote();
  ElfReader local;
  std::size_t places_seen = 0;
  for (const std::string& path : files_with_code()) {
    const UniqueFd fd = open_file(path);
    auto expected = local.read(fd.get(), wanted);
    auto contents = remote->read(fd.get(), wanted);
    ASSERT_TRUE(expected && contents) << path;
    EXPECT_EQ(bytes_of(contents->image), bytes_of(expected->image)) << path;
    EXPECT_EQ(contents->python.has_value(), expected->python.has_value()) << path;
    const auto requests = requests_for(expected->image);
    const ClassSet emulated = always_emulated();
    auto places = remote->find_places(fd.get(), contents->image, requests, emulated);
    ASSERT_TRUE(places) << path << ": " << places.error().what;
    EXPECT_EQ(bytes_of(*places),
              bytes_of(*local.find_places(fd.get(), expected->image, requests, emulated)))
        << path;
    places_seen += places->size();
    Packer layouts[2];
    pack_plain(layouts[0], remote->find_libpq_layout(fd.get(), contents->image));
    pack_plain(layouts[1], local.find_libpq_layout(fd.get(), contents->image));
    EXPECT_EQ(layouts[0].bytes(), layouts[1].bytes()) << path;
  }
  EXPECT_GT(places_seen, 10U);
}

TEST(RemoteElfReader, SaysOfAFileThatItIsNoElfFile) {
  const UniqueFd fd = open_file("/etc/passwd");
  const auto contents = make_remote()->read(fd.get(), wanted_names());
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->not_elf, "not an ELF file");
}

TEST(RemoteElfReader, EachFileHasAProcessOfItsOwn) {
  const auto remote = make_remote();
  const auto wanted = wanted_names();
  const auto paths = files_with_code();
  const UniqueFd one = open_file(paths.at(0));
  const UniqueFd other = open_file(paths.at(1));
  ASSERT_TRUE(remote->read(one.get(), wanted));
  const pid_t first = worker();
  ASSERT_TRUE(remote->read(one.get(), wanted));
  EXPECT_EQ(worker(), first);
  ASSERT_TRUE(remote->read(other.get(), wanted));
  EXPECT_NE(worker(), first);
}

TEST(RemoteElfReader, SaysWhatEndedTheProcessAndGoesOn) {
  const auto remote = make_remote();
  const auto wanted = wanted_names();
  const UniqueFd fd = open_file(files_with_code().front());
  ASSERT_TRUE(remote->read(fd.get(), wanted));
  ASSERT_EQ(::kill(worker(), SIGSEGV), 0);
  const auto lost = remote->read(fd.get(), wanted);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().what, "the process that reads it crashed (SIGSEGV)");
  EXPECT_TRUE(remote->read(fd.get(), wanted));
}

TEST(RemoteElfReader, GivesUpAFileThatTakesTooLong) {
  const fs::path path = fs::path(testing::TempDir()) / "huge_symbols";
  test::write_huge_symbols(path, 8, std::uint64_t{256} << 20);
  const UniqueFd fd = open_file(path);
  const auto remote = make_remote({.cpu_seconds = 0.2});
  const auto lost = remote->read(fd.get(), wanted_names());
  fs::remove(path);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().what,
            "the process that reads it took longer than it may (0.2 s of CPU time)");
  const UniqueFd other = open_file(files_with_code().front());
  EXPECT_TRUE(make_remote()->read(other.get(), wanted_names()));
}

TEST(RemoteElfReader, SurvivesDamagedFiles) {
  const std::string source = files_with_code().back();
  std::ifstream file(source, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  const fs::path path = fs::path(testing::TempDir()) / "damaged_elf";
  const auto remote = make_remote();
  std::mt19937 random(31);
  const auto wanted = wanted_names();
  for (int round = 0; round < 40; ++round) {
    std::string damaged = whole;
    // The headers at both ends first, then anything.
    for (int i = 0; i < 4; ++i) damaged[64 + random() % 600] = static_cast<char>(random());
    for (int i = 0; i < 4; ++i) {
      damaged[damaged.size() - 1 - random() % 2000] = static_cast<char>(random());
    }
    for (int i = 0; i < 2000; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << damaged;
    const UniqueFd fd = open_file(path);
    const auto contents = remote->read(fd.get(), wanted);
    if (!contents) continue;
    const auto requests = requests_for(contents->image);
    const auto places = remote->find_places(fd.get(), contents->image, requests, always_emulated());
    if (places) {
      EXPECT_EQ(places->size(), requests.size());
    }
  }
  fs::remove(path);
  const UniqueFd fd = open_file(source);
  EXPECT_TRUE(make_remote()->read(fd.get(), wanted));
}

/// A worker that is in the hands of a file.
SandboxWork liar(const std::function<void(Packer&)>& fill) {
  return {.name = "lt-elf", .body = [fill](int socket) {
            auto question = receive_message(socket);
            Packer answer;
            fill(answer);
            (void)send_message(socket, 1, answer.bytes());
            auto end = receive_message(socket);
          }};
}

TEST(RemoteElfReader, BelievesNoContentsThatMakeNoSense) {
  const UniqueFd fd = open_file(files_with_code().front());
  const auto error_for = [&](const ElfContents& contents) {
    const auto work = liar([&](Packer& answer) { pack(answer, contents); });
    const auto read = make_remote({}, work)->read(fd.get(), std::vector<std::string>{"malloc"});
    return read ? "" : read.error().what;
  };
  EXPECT_EQ(error_for({}), "");
  ElfContents path_for_id;
  path_for_id.image.build_id = "../../etc/passwd";
  EXPECT_THAT(error_for(path_for_id), HasSubstr("gave an answer that makes no sense"));
  ElfContents unwanted;
  unwanted.image.functions.push_back({"main", 0x1000, 16});
  EXPECT_THAT(error_for(unwanted), HasSubstr("gave an answer that makes no sense"));
  const auto nothing = make_remote({}, liar([](Packer&) {}))->read(fd.get(), {});
  EXPECT_FALSE(nothing);
}

TEST(RemoteElfReader, BelievesNoPlaceThatIsNotOneOfTheFunction) {
  const UniqueFd fd = open_file("/proc/self/exe");
  ElfReader local;
  void* (*libc_malloc)(std::size_t) = &std::malloc;
  ASSERT_NE(libc_malloc, nullptr);
  std::string libc;
  for (const std::string& path : files_with_code()) {
    if (path.find("/libc.so") != std::string::npos) libc = path;
  }
  const UniqueFd library = open_file(libc);
  const auto contents = local.read(library.get(), std::vector<std::string>{"malloc"});
  ASSERT_TRUE(contents);
  ASSERT_FALSE(contents->image.functions.empty());
  const std::vector<HookRequest> requests = {
      {.site = {contents->image.functions.front(), {}}, .exits = false}};
  auto honest = local.find_places(library.get(), contents->image, requests, always_emulated());
  ASSERT_TRUE(honest);
  const auto try_with = [&](const std::vector<HookPlace>& places) {
    const auto work =
        liar([&](Packer& answer) { pack(answer, std::span<const HookPlace>(places)); });
    const auto found = make_remote({}, work)->find_places(library.get(), contents->image, requests,
                                                          always_emulated());
    return found.has_value();
  };
  EXPECT_TRUE(try_with(*honest));
  EXPECT_FALSE(try_with({}));
  auto wrong = *honest;
  wrong[0].site.offset += 4096;
  EXPECT_FALSE(try_with(wrong));

  // A module of which nothing is believed has no hook.
  Module module;
  module.fd = open_file(libc);
  module.image = contents->image;
  const auto remote = make_remote({}, liar([](Packer&) {}));
  const auto hooks = find_hooks(all_rows(), module, *remote, always_emulated());
  ASSERT_FALSE(hooks.empty());
  for (const Hook& hook : hooks) {
    EXPECT_THAT(hook.declined, HasSubstr("its code could not be looked at: the process that reads "
                                         "it gave an answer that makes no sense"));
  }
}

}  // namespace
}  // namespace leaktrace::tracer
