// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/elf_image.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

/// The file that an address of this process comes from, and the address within it.
struct Loaded {
  std::string path;
  std::uint64_t address = 0;
};

Loaded loaded_at(const void* address) {
  Dl_info info{};
  link_map* map = nullptr;
  EXPECT_NE(::dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP), 0);
  return {info.dli_fname, reinterpret_cast<std::uintptr_t>(address) - map->l_addr};
}

UniqueFd open_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

TEST(ElfImage, FindsFunctionsOfTheCLibrary) {
  void* (*malloc_function)(std::size_t) = &std::malloc;
  Loaded libc = loaded_at(reinterpret_cast<void*>(malloc_function));
  UniqueFd fd = open_file(libc.path);
  std::vector<std::string> wanted = {"malloc", "free", "no_such_function"};
  auto image = ElfImage::read(fd.get(), wanted);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_THAT(image->functions, SizeIs(2));
  EXPECT_FALSE(image->imports_malloc);
  EXPECT_FALSE(image->build_id.empty());
  for (const FunctionSymbol& function : image->functions) {
    if (function.name != "malloc") continue;
    EXPECT_EQ(image->address_of(function.file_offset), libc.address);
  }
}

TEST(ElfImage, SeesThatTheCxxLibraryImportsMalloc) {
  Loaded library =
      loaded_at(reinterpret_cast<void*>(static_cast<void* (*)(std::size_t)>(&::operator new)));
  UniqueFd fd = open_file(library.path);
  auto image = ElfImage::read(fd.get(), std::vector<std::string>{"_Znwm"});
  ASSERT_TRUE(image);
  EXPECT_TRUE(image->imports_malloc);
  EXPECT_THAT(image->functions, SizeIs(1));
}

TEST(ElfImage, HasTheEntryPointOfAProgram) {
  UniqueFd fd = open_file("/proc/self/exe");
  auto image = ElfImage::read(fd.get(), {});
  ASSERT_TRUE(image);
  EXPECT_NE(image->entry_offset, 0U);
  EXPECT_THAT(image->functions, IsEmpty());
}

TEST(ElfImage, DeclinesOtherFiles) {
  UniqueFd text = open_file("/etc/passwd");
  EXPECT_FALSE(ElfImage::read(text.get(), {}));
  UniqueFd nothing = open_file("/dev/null");
  EXPECT_FALSE(ElfImage::read(nothing.get(), {}));
}

}  // namespace
}  // namespace leaktrace::tracer
