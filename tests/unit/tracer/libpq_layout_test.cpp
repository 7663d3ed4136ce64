// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/libpq_layout.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {
namespace {

const std::vector<std::string> kWanted(kLibpqAccessors.begin(), kLibpqAccessors.end());

std::vector<std::string> fixtures() {
  std::vector<std::string> paths;
  std::istringstream list(LIBPQ_FIXTURES);
  for (std::string path; std::getline(list, path, ':');) paths.push_back(path);
  return paths;
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

UniqueFd file_with(std::string_view contents) {
  UniqueFd fd(::memfd_create("library", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), contents.data(), contents.size()),
            static_cast<ssize_t>(contents.size()));
  return fd;
}

std::optional<lt_pg_layout> layout_of(int fd) {
  const auto image = ElfImage::read(fd, kWanted);
  if (!image) return std::nullopt;
  return libpq_layout(fd, *image);
}

/// Where the compiler has put the fields of a fixture.
lt_pg_layout truth_of(std::string_view contents) {
  constexpr std::string_view kWords = "The layout of this fixture:";
  constexpr std::size_t kWordsWithZeros = 32;
  lt_pg_layout layout{};
  const std::size_t at = contents.find(kWords);
  EXPECT_NE(at, std::string_view::npos);
  std::memcpy(&layout, contents.substr(at + kWordsWithZeros).data(), sizeof(layout));
  return layout;
}

void expect_same(const lt_pg_layout& found, const lt_pg_layout& truth) {
  EXPECT_EQ(found.result_status, truth.result_status);
  EXPECT_EQ(found.result_tag, truth.result_tag);
  EXPECT_EQ(found.result_memory, truth.result_memory);
  EXPECT_EQ(found.connection_status, truth.connection_status);
  EXPECT_EQ(found.transaction, truth.transaction);
  EXPECT_EQ(found.pipeline, truth.pipeline);
  for (unsigned i = 0; i < LT_PG_STRINGS; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(found.strings[i].field, truth.strings[i].field);
    EXPECT_EQ(found.strings[i].array, truth.strings[i].array);
    EXPECT_EQ(found.strings[i].index, truth.strings[i].index);
    EXPECT_EQ(found.strings[i].stride, truth.strings[i].stride);
  }
}

bool is_known(const lt_pg_layout& layout) {
  std::uint32_t all = LT_PG_NO_FIELD;
  for (const lt_pg_string& string : layout.strings) all &= string.field;
  return (all & layout.result_status & layout.result_tag & layout.result_memory &
          layout.connection_status & layout.transaction & layout.pipeline) != LT_PG_NO_FIELD;
}

TEST(LibpqLayout, IsWhereTheCompilersPutIt) {
  for (const std::string& path : fixtures()) {
    SCOPED_TRACE(path);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    const auto found = layout_of(fd.get());
    ASSERT_TRUE(found);
    expect_same(*found, truth_of(contents_of(path)));
  }
}

TEST(LibpqLayout, OtherFilesHaveNone) {
  const UniqueFd program(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(layout_of(program.get()));
  const UniqueFd text(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(layout_of(text.get()));
  EXPECT_FALSE(libpq_layout(-1, {}));
}

/// A fixture, with an image of it whole.
struct Library {
  std::string contents;
  ElfImage image;
};

std::vector<Library> some_libraries() {
  std::vector<Library> libraries;
  const auto paths = fixtures();
  for (std::size_t i = 0; i < paths.size(); i += 7) {
    const UniqueFd fd(::open(paths[i].c_str(), O_RDONLY | O_CLOEXEC));
    libraries.push_back({contents_of(paths[i]), *ElfImage::read(fd.get(), kWanted)});
  }
  return libraries;
}

TEST(LibpqLayout, NeedsBothFunctionsThatTellALibpq) {
  for (const Library& library : some_libraries()) {
    const UniqueFd fd = file_with(library.contents);
    for (const char* missing : {"PQresultStatus", "PQcmdStatus"}) {
      ElfImage image = library.image;
      std::erase_if(image.functions, [&](const auto& one) { return one.name == missing; });
      EXPECT_FALSE(libpq_layout(fd.get(), image)) << missing;
    }
  }
}

TEST(LibpqLayout, LeavesOutWhatALibpqDoesNotHave) {
  for (const Library& library : some_libraries()) {
    const UniqueFd fd = file_with(library.contents);
    ElfImage image = library.image;
    std::erase_if(image.functions, [](const FunctionSymbol& one) {
      return one.name == "PQpipelineStatus" || one.name == "PQport";
    });
    lt_pg_layout truth = truth_of(library.contents);
    truth.pipeline = LT_PG_NO_FIELD;
    // Whether PQhost's field is the host is told by the port.
    for (unsigned i : {LT_PG_HOST, LT_PG_HOSTADDR, LT_PG_PORT}) {
      truth.strings[i] = {LT_PG_NO_FIELD, LT_PG_NO_FIELD, LT_PG_NO_FIELD, LT_PG_NO_FIELD};
    }
    expect_same(*libpq_layout(fd.get(), image), truth);
  }
}

// As after a library was replaced by another while it was looked at.
TEST(LibpqLayout, IsNotGuessedFromAFunctionOfAnotherKind) {
  for (const Library& library : some_libraries()) {
    const UniqueFd fd = file_with(library.contents);
    ElfImage image = library.image;
    const std::uint64_t database = find_function(image, "PQdb")->file_offset;
    const std::uint64_t host = find_function(image, "PQhost")->file_offset;
    for (FunctionSymbol& function : image.functions) {
      function.file_offset = function.name == "PQdb" || function.name == "PQport" ? host : database;
      function.size = 0;
    }
    const auto found = libpq_layout(fd.get(), image);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->result_status, LT_PG_NO_FIELD);
    EXPECT_EQ(found->result_tag, LT_PG_NO_FIELD);
    EXPECT_EQ(found->transaction, LT_PG_NO_FIELD);
    EXPECT_EQ(found->strings[LT_PG_PORT].field, LT_PG_NO_FIELD);
  }
}

TEST(LibpqLayout, BearsFunctionsThatAreNotInTheFile) {
  for (const Library& library : some_libraries()) {
    const UniqueFd fd = file_with(library.contents);
    for (const std::uint64_t offset :
         {std::uint64_t{library.contents.size() - 1}, std::uint64_t{library.contents.size()},
          std::uint64_t{1} << 40, std::uint64_t{1} << 63, UINT64_MAX}) {
      for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, UINT64_MAX}) {
        ElfImage image = library.image;
        image.segments.push_back({0, 0, UINT64_MAX, true});
        for (FunctionSymbol& function : image.functions) {
          function.file_offset = offset;
          function.size = size;
        }
        const auto found = libpq_layout(fd.get(), image);
        ASSERT_TRUE(found);
        EXPECT_FALSE(is_known(*found)) << offset << " " << size;
      }
    }
  }
}

TEST(LibpqLayout, BearsTruncatedFiles) {
  for (const Library& library : some_libraries()) {
    const std::size_t step = library.contents.size() / 100 + 1;
    for (std::size_t size = 0; size < library.contents.size(); size += step) {
      const UniqueFd fd = file_with(std::string_view(library.contents).substr(0, size));
      (void)layout_of(fd.get());
      EXPECT_TRUE(libpq_layout(fd.get(), library.image));
    }
  }
}

// The code and the tables with some bytes changed. What is found may be wrong; it must be
// plausible, and found in the end.
TEST(LibpqLayout, BearsDamagedFiles) {
  std::mt19937_64 random(20240612);
  for (const Library& library : some_libraries()) {
    const FunctionSymbol& function = library.image.functions.front();
    for (int i = 0; i < 150; ++i) {
      std::string contents = library.contents;
      for (int changes = 0; changes < 16; ++changes) {
        const std::size_t code = (function.file_offset + random() % 600) % contents.size();
        contents[code] = static_cast<char>(random());
        contents[random() % contents.size()] = static_cast<char>(random());
      }
      const UniqueFd fd = file_with(contents);
      (void)layout_of(fd.get());
      const auto found = libpq_layout(fd.get(), library.image);
      ASSERT_TRUE(found);
      for (const lt_pg_string& string : found->strings) {
        EXPECT_TRUE(string.field < 4096 || string.field == LT_PG_NO_FIELD);
        EXPECT_TRUE(string.array < 4096 || string.array == LT_PG_NO_FIELD);
      }
    }
  }
}

}  // namespace
}  // namespace leaktrace::tracer
