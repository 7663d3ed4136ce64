// SPDX-License-Identifier: Apache-2.0
// The same frames as other symbolizers find, for hundreds of addresses anywhere in the code.
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

using model::SourceFrame;
using Frames = std::vector<SourceFrame>;

constexpr std::size_t kAddresses = 600;

/// Random addresses within .text.
std::vector<std::uint64_t> text_addresses(const std::string& path) {
  std::istringstream header(
      output_of(fmt::format("readelf -SW '{}' | sed -n 's/.* \\.text *PROGBITS//p'", path)));
  std::uint64_t begin = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  header >> std::hex >> begin >> offset >> size;
  std::mt19937_64 random(20240229);
  std::vector<std::uint64_t> addresses;
  while (size > 0 && addresses.size() < kAddresses) addresses.push_back(begin + random() % size);
  return addresses;
}

/// "path:12", "path:12:3" or "path:12 (discriminator 4)"; the number may be a "?".
void read_place(std::string line, SourceFrame& frame) {
  line.resize(std::min(line.find(" (discriminator"), line.size()));
  const auto path_end = line.find(':');
  if (line.starts_with("??") || path_end == std::string::npos) return;
  frame.file = line.substr(0, path_end);
  frame.line = static_cast<std::uint32_t>(std::strtoul(line.c_str() + path_end + 1, nullptr, 10));
}

/// Pairs of lines "function", "place"; the blocks of the addresses are told apart by `starts`.
template <typename Starts>
std::vector<Frames> parse(const std::string& output, Starts starts) {
  std::vector<Frames> all;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (starts(line)) {
      all.emplace_back();
      continue;
    }
    SourceFrame frame;
    if (line != "??") frame.function = line;
    if (std::getline(lines, line)) read_place(line, frame);
    all.back().push_back(frame);
  }
  return all;
}

/// Spelling aside: the suffixes of parts that a compiler split off, which the others take from the
/// symbol table, and the scopes of functions without linkage name, which only we find.
bool same_name(const std::string& ours, const std::string& theirs) {
  const std::string name = demangle(theirs);
  if (ours == name) return true;
  if (theirs.starts_with("_Z")) return ours == name.substr(0, name.find(" [clone"));
  return ours.ends_with("::" + theirs) || ours == theirs.substr(0, theirs.find('.'));
}

struct Comparison {
  std::size_t same = 0;
  std::size_t compared = 0;
  std::string first_differences;

  void add(std::uint64_t address, bool equal, const Frames& ours, const Frames& theirs) {
    ++compared;
    if (equal) ++same;
    if (equal || compared - same > 5) return;
    first_differences += fmt::format("{:#x}\n", address);
    for (const auto* frames : {&ours, &theirs}) {
      first_differences += frames == &ours ? " ours\n" : " theirs\n";
      for (const SourceFrame& frame : *frames) {
        first_differences += fmt::format("  {} {}:{}\n", frame.function, frame.file, frame.line);
      }
    }
  }
};

class OtherSymbolizers : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    path_ = fixture(GetParam());
    addresses_ = text_addresses(path_);
    ASSERT_EQ(addresses_.size(), kAddresses);
    symbolizer_.add_module({kModule, path_, "", {}, {}});
    std::ofstream list(folder_.path() / "addresses");
    for (std::uint64_t address : addresses_) list << fmt::format("{:#x}\n", address);
  }

  std::string ask(const std::string& command) {
    return output_of(
        fmt::format("{} -e '{}' < '{}/addresses'", command, path_, folder_.path().string()));
  }

  template <typename Equal>
  Comparison compare(const std::vector<Frames>& theirs, Equal equal) {
    Comparison result;
    EXPECT_EQ(theirs.size(), addresses_.size());
    for (std::size_t i = 0; i < std::min(theirs.size(), addresses_.size()); ++i) {
      if (theirs[i].empty() || !theirs[i][0].file.starts_with('/')) continue;  // without DWARF
      const Frames ours = symbolizer_.look_up(kModule, addresses_[i]);
      result.add(addresses_[i], equal(ours, theirs[i]), ours, theirs[i]);
    }
    return result;
  }

  TemporaryFolder folder_;
  std::string path_;
  std::vector<std::uint64_t> addresses_;
  LocalSymbolizer symbolizer_;
};

bool same_place(const SourceFrame& a, const SourceFrame& b) {
  return a.line == b.line && std::filesystem::path(a.file).lexically_normal() ==
                                 std::filesystem::path(b.file).lexically_normal();
}

TEST_P(OtherSymbolizers, LlvmFindsTheSameFunctionsAndPlaces) {
  std::string program = "llvm-symbolizer";
  if (!have_program(program)) program = "llvm-symbolizer-14";
  if (!have_program(program)) GTEST_SKIP() << "llvm-symbolizer is not installed";
  const auto theirs = parse(ask(program + " --inlines --no-demangle --print-address"),
                            [](const std::string& line) { return line.starts_with("0x"); });
  const auto result = compare(theirs, [](const Frames& a, const Frames& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
      return same_name(x.function, y.function) && same_place(x, y);
    });
  });
  EXPECT_GT(result.compared, kAddresses / 2);
  EXPECT_EQ(result.same, result.compared) << result.first_differences;
}

// binutils names frames by other rules, and 2.40 misses inlined calls in clang's DWARF 5, so only
// the place of the innermost frame is compared.
TEST_P(OtherSymbolizers, Addr2lineFindsTheSamePlaces) {
  if (!have_program("addr2line")) GTEST_SKIP() << "addr2line is not installed";
  const auto theirs = parse(ask("addr2line -a -i -f"),
                            [](const std::string& line) { return line.starts_with("0x"); });
  const auto result = compare(
      theirs, [](const Frames& a, const Frames& b) { return same_place(a.front(), b.front()); });
  EXPECT_GT(result.compared, kAddresses / 2);
  EXPECT_EQ(result.same, result.compared) << result.first_differences;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OtherSymbolizers, ::testing::ValuesIn(fixtures_like("library.")),
                         case_name);

}  // namespace
}  // namespace leaktrace::symbolize::test
