// SPDX-License-Identifier: Apache-2.0
// Files that a traced process changes, or names to do harm, while its code is given names.
#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

namespace fs = std::filesystem;
using model::SourceFrame;
using ::testing::HasSubstr;

class HostileFile : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(root_ / "opt"); }

  /// A program without debug information, and what its debug link names.
  void split(const std::string& name) {
    const std::string original = fixture(name);
    address_ = own_addresses(original).at("holder") - 1;
    run(fmt::format("objcopy --only-keep-debug '{}' '{}'", original, debug_file().string()));
    run(fmt::format("strip --strip-all -o '{}' '{}'", program().string(), original));
    run(fmt::format("objcopy --add-gnu-debuglink='{}' '{}'", debug_file().string(),
                    program().string()));
  }
  /// A program whose split debug information has this name; the file itself is one.dwo.
  void build_split(const std::string& dwo) {
    std::ofstream(folder_.path() / "one.cpp") << "int holder(int x) { return x + 1; }\n"
                                                 "int main() { return holder(-1); }\n";
    run(
        fmt::format("cd '{}' && g++ -g -gdwarf-5 -gsplit-dwarf -O0 -c one.cpp -o one.o && "
                    "g++ -g -gdwarf-5 -gsplit-dwarf -O0 -S one.cpp -o named.s && "
                    "sed -i 's#\"[^\"]*\\.dwo\"#\"{}\"#' named.s && "
                    "g++ -c named.s -o named.o && g++ -o '{}' named.o",
                    folder_.path().string(), dwo, program().string()));
    address_ = nm(program()).at("_Z6holderi") + 4;
  }
  /// Where the function is, by a symbolizer that knows the program as the process of `root` does.
  [[nodiscard]] SourceFrame frame_in(const ForeignRoot& root, const std::string& path) {
    LocalSymbolizer symbolizer;
    symbolizer.add_module({kModule, path, "", {}, root});
    auto frames = symbolizer.look_up(kModule, address_);
    losses_ = losses(symbolizer);
    return frames.back();
  }
  [[nodiscard]] fs::path program() const { return root_ / "opt/prog"; }
  [[nodiscard]] fs::path debug_file() const { return root_ / "opt/prog.debug"; }
  void add_program(Symbolizer& symbolizer) const {
    symbolizer.add_module({kModule, "/opt/prog", "", {}, root_at(root_)});
  }
  static std::string losses(const Symbolizer& symbolizer) {
    std::string text;
    for (const auto& loss : symbolizer.file_losses()) text += loss.path + ": " + loss.why + "\n";
    return text;
  }

  TemporaryFolder folder_;
  fs::path root_ = folder_.path() / "root";
  std::uint64_t address_ = 0;
  std::string losses_;
};

TEST_F(HostileFile, IsCutAndRestoredWhileItIsRead) {
  split("chain.dwarf5");
  const auto whole = fs::file_size(debug_file());
  const fs::path copy = folder_.path() / "copy";
  fs::copy_file(debug_file(), copy);
  std::atomic<bool> done{false};
  std::thread cutter([&] {
    for (unsigned i = 0; !done; ++i) {
      ::truncate(debug_file().c_str(), static_cast<off_t>(i * 4093 % whole));
      std::error_code error;
      fs::copy_file(copy, debug_file(), fs::copy_options::overwrite_existing, error);
    }
  });
  for (int i = 0; i < 300; ++i) {
    LocalSymbolizer symbolizer;
    add_program(symbolizer);
    for (std::uint64_t offset = 0; offset < 64; offset += 8) {
      EXPECT_FALSE(symbolizer.look_up(kModule, address_ + offset).empty());
    }
  }
  done = true;
  cutter.join();
}

TEST_F(HostileFile, ADebugFileThatWasCutAfterItWasOpenedIsALoss) {
  split("chain.dwarf5");
  LocalSymbolizer symbolizer;
  add_program(symbolizer);
  ASSERT_EQ(symbolizer.look_up(kModule, address_).size(), 4U);
  fs::resize_file(debug_file(), 4096);
  EXPECT_EQ(symbolizer.look_up(kModule, address_), std::vector<SourceFrame>{SourceFrame{}});
  EXPECT_THAT(losses(symbolizer), HasSubstr("changed while it was read"));
}

TEST_F(HostileFile, ADebugLinkOf100GigabytesIsRefusedAndALoss) {
  split("chain.noid");
  fs::resize_file(debug_file(), std::uintmax_t{100} << 30);
  LocalSymbolizer symbolizer;
  add_program(symbolizer);
  EXPECT_EQ(symbolizer.look_up(kModule, address_), std::vector<SourceFrame>{SourceFrame{}});
  EXPECT_THAT(losses(symbolizer), HasSubstr("larger than 16 GiB"));
}

// Its checksum would have to be taken of all of it.
TEST_F(HostileFile, ADebugLinkOf15GigabytesWithoutBuildIdIsRefusedAndALoss) {
  split("chain.noid");
  fs::resize_file(debug_file(), std::uintmax_t{15} << 30);
  LocalSymbolizer symbolizer;
  add_program(symbolizer);
  EXPECT_EQ(symbolizer.look_up(kModule, address_), std::vector<SourceFrame>{SourceFrame{}});
  EXPECT_THAT(losses(symbolizer), HasSubstr("has no build id and more than 2 GiB"));
}

TEST_F(HostileFile, AModuleOf100GigabytesIsRefusedAndALoss) {
  split("chain.dwarf5");
  fs::resize_file(program(), std::uintmax_t{100} << 30);
  fs::remove(debug_file());
  LocalSymbolizer symbolizer;
  add_program(symbolizer);
  EXPECT_EQ(symbolizer.look_up(kModule, address_), std::vector<SourceFrame>{SourceFrame{}});
  EXPECT_THAT(losses(symbolizer), HasSubstr("larger than 16 GiB"));
}

TEST_F(HostileFile, ASplitFileThatIsAFileOfTheKernelIsNotOpened) {
  for (const char* name : {"/proc/kmsg", "/proc/1/mem"}) {
    build_split(name);
    EXPECT_EQ(frame_in(ForeignRoot(), program()).line, 1U) << "the skeleton has the lines";
    EXPECT_THAT(losses_, AllOf(HasSubstr("may not be read"), HasSubstr("a file of the kernel")));
  }
}

TEST_F(HostileFile, ASplitFileThatIsAPipeIsNotOpened) {
  build_split("/pipe");
  ASSERT_EQ(::mkfifo((root_ / "pipe").c_str(), 0666), 0);
  EXPECT_EQ(frame_in(root_at(root_), "/opt/prog").line, 1U);
  EXPECT_THAT(losses_, HasSubstr("not a regular file"));
}

TEST_F(HostileFile, ASplitFileOutsideOfTheRootIsNotOpened) {
  const std::string dwo = folder_.path() / "one.dwo";
  build_split(dwo);
  EXPECT_EQ(frame_in(ForeignRoot(), program()).function, "holder(int)");
  EXPECT_EQ(losses_, "") << "on the host it is found";
  EXPECT_EQ(frame_in(root_at(root_), "/opt/prog").line, 1U);
  EXPECT_THAT(losses_, HasSubstr("in no .dwp and no .dwo file that was found"));
}

TEST_F(HostileFile, ASplitFileOf15GigabytesIsALoss) {
  const std::string dwo = folder_.path() / "one.dwo";
  build_split(dwo);
  fs::resize_file(dwo, std::uintmax_t{15} << 30);
  EXPECT_EQ(frame_in(ForeignRoot(), program()).line, 1U);
  EXPECT_THAT(losses_, HasSubstr("larger than 512 MiB"));
}

TEST_F(HostileFile, ASplitFileIsCutAndRestoredWhileItIsRead) {
  const fs::path dwo = folder_.path() / "one.dwo";
  build_split(dwo);
  const fs::path copy = folder_.path() / "copy";
  fs::copy_file(dwo, copy);
  std::atomic<bool> done{false};
  std::thread cutter([&] {
    for (unsigned i = 0; !done; ++i) {
      ::truncate(dwo.c_str(), static_cast<off_t>(i * 509 % fs::file_size(copy)));
      std::error_code error;
      fs::copy_file(copy, dwo, fs::copy_options::overwrite_existing, error);
    }
  });
  for (int i = 0; i < 300; ++i) EXPECT_EQ(frame_in(ForeignRoot(), program()).line, 1U);
  done = true;
  cutter.join();
}

}  // namespace
}  // namespace leaktrace::symbolize::test
