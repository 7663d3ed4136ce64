// SPDX-License-Identifier: Apache-2.0
// Tables that another process makes are those that this one would have made; each file has a
// process of its own, and what ends that is said.
#include "user/unwind/remote_tables.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"

namespace leaktrace::unwind {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<RemoteTables> make_remote(const SandboxWork& work = RemoteTables::work(),
                                          const WorkBounds& bounds = {}) {
  auto sandbox = Sandbox::create(work);
  EXPECT_TRUE(sandbox);
  return std::make_unique<RemoteTables>(std::move(*sandbox), bounds);
}

/// The files that code of this process comes from.
std::set<std::string> files_with_code() {
  std::set<std::string> paths;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto path = line.find('/');
    if (path != std::string::npos && line.find(" r-xp ") != std::string::npos) {
      paths.insert(line.substr(path));
    }
  }
  return paths;
}

UniqueFd open_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

template <typename Value>
bool same(const std::vector<Value>& one, const std::vector<Value>& other) {
  return one.size() == other.size() &&
         std::memcmp(one.data(), other.data(), one.size() * sizeof(Value)) == 0;
}

TEST(RemoteTables, AreThoseThatThisProcessWouldMake) {
  const auto remote = make_remote();
  const auto paths = files_with_code();
  ASSERT_GT(paths.size(), 2U);
  for (const std::string& path : paths) {
    const UniqueFd fd = open_file(path);
    const auto expected = read_table(fd.get());
    const auto table = remote->read(fd.get());
    ASSERT_TRUE(expected && table) << path;
    EXPECT_GT(table->rows.size(), 0U);
    EXPECT_EQ(table->base, expected->base);
    EXPECT_EQ(table->described_ranges, expected->described_ranges);
    EXPECT_EQ(table->skipped_ranges, expected->skipped_ranges);
    EXPECT_TRUE(same(table->segments, expected->segments)) << path;
    EXPECT_TRUE(same(table->pages, expected->pages)) << path;
    EXPECT_TRUE(same(table->rules, expected->rules)) << path;
    EXPECT_TRUE(same(table->rows, expected->rows)) << path;
  }
}

TEST(RemoteTables, SayWhyThereIsNone) {
  const auto remote = make_remote();
  const UniqueFd fd = open_file("/etc/passwd");
  const auto expected = read_table(fd.get());
  const auto table = remote->read(fd.get());
  ASSERT_FALSE(expected || table);
  EXPECT_EQ(table.error().what, expected.error().what);
}

TEST(RemoteTables, SurviveDamagedFiles) {
  const auto remote = make_remote();
  const std::string source = *files_with_code().begin();
  std::ifstream file(source, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  const std::string path = testing::TempDir() + "damaged_unwind";
  std::mt19937 random(37);
  for (int round = 0; round < 20; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 3000; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    const UniqueFd fd = open_file(path);
    const auto table = remote->read(fd.get());
    EXPECT_TRUE(table || !table.error().what.empty());
  }
  ::unlink(path.c_str());
  const UniqueFd fd = open_file(source);
  EXPECT_TRUE(make_remote()->read(fd.get()));
}

/// What a table is taken for that a worker in the hands of a file gives; `fill` packs it.
std::string error_for(const std::function<void(Packer&)>& fill) {
  const SandboxWork work = {.name = "lt-unwind", .body = [&fill](int socket) {
                              auto question = receive_message(socket);
                              Packer answer;
                              fill(answer);
                              (void)send_message(socket, 1, answer.bytes());
                              auto end = receive_message(socket);
                            }};
  const UniqueFd fd = open_file("/proc/self/exe");
  const auto table = make_remote(work)->read(fd.get());
  return table ? "" : table.error().what;
}

template <typename Value>
std::string_view bytes_of(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

void pack_table(Packer& answer, const Page& page, std::string_view rows, std::uint64_t base = 0) {
  answer.text("");
  for (const std::uint64_t number : {base, std::uint64_t{0}, std::uint64_t{0}}) {
    answer.number(number);
  }
  answer.text("");  // segments
  answer.text(bytes_of(page));
  answer.text("");  // rules
  answer.text(rows);
}

TEST(RemoteTables, NothingThatMakesNoSenseIsBelieved) {
  const std::uint64_t row = std::uint64_t{LT_UNWIND_CFA_END} << 12;
  const std::string nonsense = "the process that reads it gave an answer that makes no sense";
  const Page good{.first = 0, .count = 1};
  EXPECT_EQ(error_for([&](Packer& answer) { pack_table(answer, good, bytes_of(row)); }), "");
  EXPECT_EQ(error_for([](Packer&) {}), nonsense);
  EXPECT_EQ(error_for([&](Packer& answer) { pack_table(answer, good, bytes_of(row), 1); }),
            nonsense);
  EXPECT_EQ(error_for([&](Packer& answer) {
              pack_table(answer, {.first = 0, .count = 2}, bytes_of(row));
            }),
            nonsense);
  EXPECT_EQ(error_for([&](Packer& answer) {
              pack_table(answer, {.first = UINT32_MAX, .count = 1}, bytes_of(row));
            }),
            nonsense);
  EXPECT_EQ(
      error_for([&](Packer& answer) { pack_table(answer, good, bytes_of(row).substr(0, 5)); }),
      nonsense);
}

TEST(RemoteTables, AFileThatEndsTheProcessHasNoneAndTheNextOneHas) {
  const UniqueFd fd = open_file("/proc/self/exe");
  const auto crashes = make_remote({.name = "lt-unwind", .body = [](int socket) {
                                      auto question = receive_message(socket);
                                      ::raise(SIGSEGV);
                                    }});
  const auto crashed = crashes->read(fd.get());
  ASSERT_FALSE(crashed);
  EXPECT_EQ(crashed.error().what, "the process that reads it crashed (SIGSEGV)");
  const auto spins = make_remote({.name = "lt-unwind",
                                  .body =
                                      [](int socket) {
                                        auto question = receive_message(socket);
                                        for (;;) (void)::getpid();
                                      }},
                                 {.cpu_seconds = 0.1});
  const auto spun = spins->read(fd.get());
  ASSERT_FALSE(spun);
  EXPECT_THAT(spun.error().what, HasSubstr("took longer than it may (0.1 s of CPU time)"));
  EXPECT_TRUE(make_remote()->read(fd.get()));
}

}  // namespace
}  // namespace leaktrace::unwind
