// SPDX-License-Identifier: Apache-2.0
// Files that were cut or in which bits fell over: names may be missing or wrong, the tracer stays
// alive.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/symbolize/one_input.h"
#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes read(const std::string& name) {
  std::ifstream file(fixture(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Where the file's section lies; the whole file when there is no such section.
std::pair<std::size_t, std::size_t> section(const std::string& name, const std::string& wanted) {
  std::istringstream out(output_of("readelf -SW '" + fixture(name).string() + "' | sed -n 's/.*\\" +
                                   wanted + " *PROGBITS//p'"));
  std::size_t address = 0;
  std::size_t offset = 0;
  std::size_t size = 0;
  if (!(out >> std::hex >> address >> offset >> size)) return {0, read(name).size()};
  return {offset, size};
}

class DamagedFiles : public ::testing::TestWithParam<std::string> {};

TEST_P(DamagedFiles, CutAnywhere) {
  const Bytes whole = read(GetParam());
  constexpr std::size_t kCuts = 60;
  for (std::size_t i = 0; i < kCuts; ++i) look_up_all_over(whole.data(), whole.size() * i / kCuts);
}

TEST_P(DamagedFiles, WithBitsFlippedAnywhere) {
  const Bytes whole = read(GetParam());
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    Bytes damaged = whole;
    for (int i = 0; i < 20; ++i) {
      damaged[random() % damaged.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    }
    look_up_all_over(damaged.data(), damaged.size());
  }
}

TEST_P(DamagedFiles, WithBytesReplacedInASection) {
  const Bytes whole = read(GetParam());
  std::mt19937 random(13);
  for (const char* name : {".debug_info", ".debug_abbrev", ".debug_line", ".debug_rnglists",
                           ".debug_ranges", ".debug_str", ".debug_line_str"}) {
    const auto [offset, size] = section(GetParam(), name);
    for (int round = 0; round < 20; ++round) {
      Bytes damaged = whole;
      for (std::size_t i = 0; i < 1 + size / 100; ++i) {
        damaged[offset + random() % size] = static_cast<std::uint8_t>(random());
      }
      look_up_all_over(damaged.data(), damaged.size());
    }
  }
}

TEST_P(DamagedFiles, WithADamagedHeader) {
  const Bytes whole = read(GetParam());
  std::mt19937 random(17);
  for (int round = 0; round < 60; ++round) {
    Bytes damaged = whole;
    damaged[16 + random() % 48] = static_cast<std::uint8_t>(random());  // behind the magic
    look_up_all_over(damaged.data(), damaged.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DamagedFiles,
                         ::testing::Values("chain.dwarf4", "chain.dwarf5", "chain.gz",
                                           "chain.split5", "tables.so"),
                         case_name);

}  // namespace
}  // namespace leaktrace::symbolize::test
