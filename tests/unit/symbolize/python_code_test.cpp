// SPDX-License-Identifier: Apache-2.0
//
// Tables of lines and strings as the installed CPython made them, against what it says of them.
#include "user/symbolize/python_code.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <sstream>

namespace leaktrace::symbolize {
namespace {

constexpr const char* kPython = "/usr/bin/python3";

std::string output_of(const std::string& script) {
  std::FILE* pipe = ::popen((std::string(kPython) + " -c '" + script + "'").c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    text.append(buffer.data(), n);
  }
  ::pclose(pipe);
  return text;
}

std::vector<std::uint8_t> from_hex(const std::string& hex) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

class PythonCodeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (output_of("import sys; print(sys.version_info >= (3, 11))") != "True\n") {
      GTEST_SKIP() << kPython << " of 3.11 or newer is not installed";
    }
  }
};

TEST_F(PythonCodeTest, EachInstructionOfTheStandardLibraryHasTheLineThatPythonGivesIt) {
  // A line a code object: first line, table, and the line of each code unit.
  std::istringstream codes(
      output_of("import argparse, decimal, enum, types, typing, _pydecimal\n"
                "def walk(code):\n"
                "  lines = [p[0] or 0 for p in code.co_positions()]\n"
                "  print(code.co_firstlineno, code.co_linetable.hex() or \"-\", *lines)\n"
                "  for c in code.co_consts:\n"
                "    if isinstance(c, types.CodeType): walk(c)\n"
                "for m in (argparse, enum, typing, _pydecimal):\n"
                "  walk(compile(open(m.__file__).read(), m.__file__, \"exec\"))"));
  std::size_t instructions = 0;
  for (std::string line; std::getline(codes, line);) {
    std::istringstream fields(line);
    std::int32_t first = 0;
    std::string table;
    fields >> first >> table;
    const PythonCode code("f.py", "f", first, from_hex(table));
    std::uint32_t expected = 0;
    for (std::int64_t unit = 0; fields >> expected; ++unit, ++instructions) {
      ASSERT_EQ(code.at(unit * 2).line, expected) << "unit " << unit << " of " << line;
    }
  }
  EXPECT_GT(instructions, 20'000U);
}

TEST_F(PythonCodeTest, StringsAreReadFromTheirMemory) {
  std::istringstream strings(output_of(
      "import ctypes, sys\n"
      "print(*((48, 72) if sys.version_info < (3, 12) else (40, 56)))\n"
      "for s in (\"plain\", \"caf\\u00e9\", \"\\u4f60\\u597d.py\", \"\\U0001f40d\", \"\"):\n"
      "  print(ctypes.string_at(id(s), sys.getsizeof(s)).hex(), s.encode().hex() or 0)"));
  PythonStrings layout;
  strings >> layout.ascii_data >> layout.other_data;
  int read = 0;
  for (std::string object, text; strings >> object >> text; ++read) {
    const auto bytes = from_hex(text);
    const std::string expected = text == "0" ? "" : std::string(bytes.begin(), bytes.end());
    EXPECT_EQ(python_string(from_hex(object), layout), expected);
  }
  EXPECT_EQ(read, 5);
}

TEST(PythonString, WhatIsCutOrNoStringIsNotReadBeyondItsEnd) {
  const PythonStrings layout{48, 72};
  EXPECT_EQ(python_string({}, layout), "");
  std::vector<std::uint8_t> object(50, 0);
  object[16] = 200;              // length
  object[32] = 1 << 2 | 3 << 5;  // one byte a character, compact, ASCII
  object[48] = 'o';
  object[49] = 'k';
  EXPECT_EQ(python_string(object, layout), "ok");
  object.resize(49);
  EXPECT_EQ(python_string(object, layout), "o");
  object[32] = 7 << 2 | 3 << 5;  // no such kind
  EXPECT_EQ(python_string(object, layout), "");
  object.assign(50, 0xff);
  EXPECT_EQ(python_string(object, layout), "");
}

TEST(PythonCode, WithoutATableOnlyTheFunctionIsKnown) {
  const PythonCode code("f.py", "f", 12, {});
  const auto frame = code.at(4);
  EXPECT_EQ(frame.function, "f");
  EXPECT_EQ(frame.line, 0U);
  EXPECT_EQ(code.at(-2).line, 12U);  // before its first instruction
}

TEST(PythonCode, ADamagedTableEndsTheSearch) {
  // A line delta that never ends, of an entry of eight units.
  const PythonCode code(
      "f.py", "f", 1,
      {0x80 | 13 << 3 | 7, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f});
  EXPECT_EQ(code.at(0).line, 0U);
  EXPECT_EQ(code.at(1000).line, 0U);
}

}  // namespace
}  // namespace leaktrace::symbolize
