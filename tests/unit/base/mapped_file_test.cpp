// SPDX-License-Identifier: Apache-2.0
#include "user/base/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "user/base/file.h"
#include "user/base/unique_fd.h"

namespace leaktrace {
namespace {

constexpr std::size_t kPage = 4096;

/// A file without a name, `pages` long, each page full of its own letter.
UniqueFd letters(std::size_t pages) {
  UniqueFd fd(::memfd_create("mapped-file-test", MFD_CLOEXEC));
  for (std::size_t i = 0; i < pages; ++i) {
    EXPECT_TRUE(write_all(fd.get(), std::string(kPage, static_cast<char>('a' + i))));
  }
  return fd;
}

/// Reads every byte.
unsigned sum_of(const MappedFile& file) {
  return std::accumulate(file.bytes().begin(), file.bytes().end(), 0U,
                         [](unsigned sum, char c) { return sum + static_cast<unsigned char>(c); });
}

TEST(MappedFile, ShowsTheContent) {
  const UniqueFd fd = letters(3);
  const auto file = MappedFile::map(fd.get());
  ASSERT_TRUE(file);
  EXPECT_EQ(file->bytes().size(), 3 * kPage);
  EXPECT_EQ(file->bytes()[2 * kPage], 'c');
  EXPECT_FALSE(file->cut());
}

TEST(MappedFile, AnEmptyFileIsAnError) {
  EXPECT_FALSE(MappedFile::map(letters(0).get()));
  EXPECT_FALSE(MappedFile::map(-1));
}

TEST(MappedFile, WhatWasCutIsZeros) {
  const UniqueFd fd = letters(5);
  const auto file = MappedFile::map(fd.get());
  ASSERT_TRUE(file);
  ASSERT_EQ(::ftruncate(fd.get(), 2 * kPage + 10), 0);
  EXPECT_EQ(file->bytes()[kPage], 'b');
  EXPECT_EQ(file->bytes()[2 * kPage + 9], 'c');
  EXPECT_EQ(file->bytes()[2 * kPage + 10], '\0');
  EXPECT_FALSE(file->cut()) << "nothing that is gone was looked at";
  EXPECT_EQ(file->bytes()[4 * kPage], '\0');
  EXPECT_TRUE(file->cut());
  EXPECT_EQ(file->bytes()[3 * kPage], '\0');
  EXPECT_EQ(file->bytes()[kPage], 'b');
}

TEST(MappedFile, OneThatWasCutIsToldFromOthers) {
  const UniqueFd cut_fd = letters(2);
  const UniqueFd other_fd = letters(2);
  auto cut = MappedFile::map(cut_fd.get());
  auto other = MappedFile::map(other_fd.get());
  ASSERT_EQ(::ftruncate(cut_fd.get(), 0), 0);
  EXPECT_EQ(sum_of(*cut), 0U);
  EXPECT_TRUE(cut->cut());
  EXPECT_FALSE(other->cut());
  MappedFile moved = std::move(*cut);
  EXPECT_TRUE(moved.cut());
  moved = std::move(*other);
  EXPECT_FALSE(moved.cut());
  EXPECT_EQ(moved.bytes()[kPage], 'b');
}

TEST(MappedFile, IsReadWhileItIsCutAndGrows) {
  const UniqueFd fd = letters(16);
  std::optional<std::thread> cutter;
  std::atomic<bool> done{false};
  cutter.emplace([&] {
    while (!done) {
      EXPECT_EQ(::ftruncate(fd.get(), kPage), 0);
      EXPECT_EQ(::ftruncate(fd.get(), 16 * kPage), 0);
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto file = MappedFile::map(fd.get());
    ASSERT_TRUE(file);
    (void)sum_of(*file);
  }
  done = true;
  cutter->join();
}

TEST(MappedFile, PartsCanBeWrittenToInMemory) {
  const UniqueFd fd = letters(3);
  const auto file = MappedFile::map(fd.get());
  ASSERT_TRUE(file->make_writable(kPage + 5, 10));
  file->data()[kPage + 5] = 'X';
  EXPECT_EQ(file->bytes()[kPage + 5], 'X');
  char byte = 0;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, kPage + 5), 1);
  EXPECT_EQ(byte, 'b');
  EXPECT_TRUE(file->make_writable(UINT64_MAX, UINT64_MAX));
  EXPECT_TRUE(file->make_writable(2 * kPage, UINT64_MAX));
}

TEST(MappedFile, MappingsAreBounded) {
  const UniqueFd fd = letters(1);
  std::vector<MappedFile> files;
  for (;;) {
    auto file = MappedFile::map(fd.get());
    if (!file) {
      EXPECT_THAT(file.error().what, testing::HasSubstr("files are mapped"));
      break;
    }
    files.push_back(std::move(*file));
    ASSERT_LE(files.size(), 4096U);
  }
  files.clear();
  EXPECT_TRUE(MappedFile::map(fd.get()));
}

// Of ours no more than of anyone else's: a fault elsewhere still ends the process.
TEST(MappedFileDeathTest, AFaultElsewhereTakesItsCourse) {
  const UniqueFd fd = letters(1);
  const auto file = MappedFile::map(fd.get());
  ASSERT_TRUE(file);
  EXPECT_EXIT(
      {
        void* page = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, fd.get(), 0);
        if (::ftruncate(fd.get(), 0) != 0) ::_exit(1);
        ::_exit(*static_cast<volatile char*>(page));
      },
      testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(::kill(::getpid(), SIGBUS); for (;;)::pause(), testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace leaktrace
