// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/jit_names.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/fuzz/symbolize/one_perf_map.h"

namespace leaktrace::symbolize::test {
namespace {

using model::SourceFrame;

SourceFrame frame(std::string function, std::string file = {}, std::uint32_t line = 0) {
  return {.function = std::move(function), .file = std::move(file), .line = line, .inlined = false};
}

JitNames names_of(std::string_view text) {
  JitNames names;
  EXPECT_EQ(names.read(text), text.size());
  return names;
}

std::string at(const JitNames& names, std::uint64_t address) {
  const std::string* name = names.find(address);
  return name == nullptr ? "-" : *name;
}

TEST(JitName, OfV8IsSplitIntoFunctionFileAndLine) {
  EXPECT_EQ(split_jit_name("JS:*leaky /srv/app.js:12:3"), frame("leaky", "/srv/app.js", 12));
  EXPECT_EQ(split_jit_name("JS:~leaky file:///srv/app.mjs:1:2"), frame("leaky", "/srv/app.mjs", 1));
  EXPECT_EQ(split_jit_name("JS:^Map.get /a b/my app.js:7:1"),
            frame("Map.get", "/a b/my app.js", 7));
  EXPECT_EQ(split_jit_name("JS:+'get size node:internal/util:44:9"),
            frame("get size", "node:internal/util", 44));
  EXPECT_EQ(split_jit_name("LazyCompile:*run app.js:5"), frame("run", "app.js", 5));
  EXPECT_EQ(split_jit_name("Function:~f evalmachine.<anonymous>:3:1"),
            frame("f", "evalmachine.<anonymous>", 3));
}

TEST(JitName, OfFunctionsWithoutOneSaysWhatTheyAre) {
  EXPECT_EQ(split_jit_name("JS:~ /srv/app.js:12:3"), frame("(anonymous)", "/srv/app.js", 12));
  EXPECT_EQ(split_jit_name("Script:~ /srv/app.js:1:1"), frame("(top level)", "/srv/app.js", 1));
  EXPECT_EQ(split_jit_name("Eval:~ node:internal/main:1:1"),
            frame("(top level)", "node:internal/main", 1));
}

TEST(JitName, OfOthersStaysWhole) {
  for (const char* name :
       {"Builtin:CallFunction_ReceiverIsAny", "Lcom/example/Cache;::put", "TRACE_12::app.lua:33",
        "void [app] Program::Leak(int32)[Optimized]", "py::leak:/srv/app.py", "JS:*odd",
        "JS:", "Script:~ /a:b", "JS:~f :1:2", "BytecodeHandler:Wide", "a"}) {
    EXPECT_EQ(split_jit_name(name), frame(name));
  }
}

TEST(JitNames, AreFoundByAnyAddressWithin) {
  const JitNames names = names_of("1000 10 first\n1010 20 with two blanks\n0x2000 0x1 prefix\n");
  EXPECT_EQ(at(names, 0xfff), "-");
  EXPECT_EQ(at(names, 0x1000), "first");
  EXPECT_EQ(at(names, 0x100f), "first");
  EXPECT_EQ(at(names, 0x1010), "with two blanks");
  EXPECT_EQ(at(names, 0x1030), "-");
  EXPECT_EQ(at(names, 0x2000), "prefix");
  EXPECT_EQ(names.malformed(), 0U);
}

TEST(JitNames, LaterOnesTakeThePlaceOfThoseTheyOverlap) {
  const JitNames names = names_of("1000 100 a\n1100 100 b\n1200 100 c\n10f0 120 new\n");
  EXPECT_EQ(at(names, 0x1000), "-") << "code that was half overwritten is gone";
  EXPECT_EQ(at(names, 0x10f0), "new");
  EXPECT_EQ(at(names, 0x120f), "new");
  EXPECT_EQ(at(names, 0x1210), "-");
  EXPECT_EQ(names.size(), 1U);
}

TEST(JitNames, NeighboursDoNotOverlap) {
  const JitNames names = names_of("1000 100 a\n1100 100 b\nf00 100 c\n");
  EXPECT_EQ(names.size(), 3U);
}

TEST(JitNames, WaitForTheEndOfTheLine) {
  JitNames names;
  EXPECT_EQ(names.read("1000 10 whole\n2000 10 ha"), 14U);
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(names.read("2000 10 half\n"), 13U);
  EXPECT_EQ(at(names, 0x2000), "half");
}

TEST(JitNames, MalformedLinesAreCountedAndTheRestIsRead) {
  const JitNames names = names_of(
      "1000 10\nxyz 10 a\n1000 zz b\n1000 10 \nffffffffffffffff 10 over\n"
      "11112222333344445 1 c\n\n3000 0 empty\r\n4000 1 good\r\n");
  EXPECT_EQ(names.malformed(), 6U);
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(at(names, 0x4000), "good");
}

TEST(JitNames, LinesBeyondReasonCountOnceWhateverThePieces) {
  JitNames names;
  const std::string piece(JitNames::kLongestLine, 'x');
  EXPECT_EQ(names.read("1000 10 " + piece), piece.size() + 8);
  EXPECT_EQ(names.read(piece), piece.size());
  EXPECT_EQ(names.read("end\n5000 10 after\n"), 18U);
  EXPECT_EQ(names.malformed(), 1U);
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(at(names, 0x5000), "after");
  EXPECT_EQ(names.read("1 1 " + piece + "\n"), piece.size() + 5);
  EXPECT_EQ(names.malformed(), 2U);
}

TEST(JitNames, TakeNoMoreMemoryThanTheyMay) {
  JitNames names(100'000);
  std::string text;
  for (int i = 0; i < 2000; ++i) text += fmt::format("{:x} 10 name{}\n", 0x1000 + i * 0x10, i);
  (void)names.read(text);
  EXPECT_GT(names.size(), 500U);
  EXPECT_LT(names.size(), 1500U);
  EXPECT_EQ(names.size() + names.left_out(), 2000U);
  (void)names.read("1000 100000 all of it\n");
  EXPECT_EQ(names.size(), 1U) << "what is replaced makes room";
  EXPECT_EQ(at(names, 0x1000 + 1999 * 0x10), "all of it");
}

TEST(JitNames, AnyBytesAreReadWithoutHarm) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::size_t i = random() % 200; i > 0; --i) {
      text += "0123456789abcdef  \n\nxJS:~ /:"[random() % 28];
      if (random() % 64 == 0) text.back() = static_cast<char>(random());
    }
    read_perf_map(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
}

}  // namespace
}  // namespace leaktrace::symbolize::test
