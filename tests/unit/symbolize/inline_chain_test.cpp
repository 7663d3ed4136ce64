// SPDX-License-Identifier: Apache-2.0
// Every way of storing DWARF gives the same frames: those that the fixture knows itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/symbolize/fixture.h"

namespace leaktrace::symbolize::test {
namespace {

using model::SourceFrame;
using ::testing::EndsWith;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

class InlineChain : public ::testing::TestWithParam<std::string> {
 protected:
  std::vector<SourceFrame> at_call(const std::string& name) {
    // A return address belongs to the call before it.
    return look_up_in(program_, own_addresses(program_).at(name) - 1);
  }
  std::filesystem::path program_ = fixture(GetParam());
  std::map<std::string, std::uint32_t> lines_ = marked_lines("chain.cpp");
};

TEST_P(InlineChain, ShowsEachFunctionThatWasInlinedAndWhereItWasCalled) {
  const auto frames = at_call("holder");
  ASSERT_THAT(frames, SizeIs(4));
  EXPECT_EQ(frames[0].function, "int shapes::Box::innermost<int>(int)");
  EXPECT_EQ(frames[1].function, "shapes::Box::middle(int)");
  EXPECT_EQ(frames[2].function, "shapes::outer(shapes::Box&, int)");
  EXPECT_EQ(frames[3].function, "shapes::holder(int)");
  EXPECT_EQ(frames[0].line, lines_.at("innermost"));
  EXPECT_EQ(frames[1].line, lines_.at("middle"));
  EXPECT_EQ(frames[2].line, lines_.at("outer"));
  EXPECT_EQ(frames[3].line, lines_.at("holder"));
  for (const SourceFrame& frame : frames) {
    EXPECT_THAT(frame.file, EndsWith("/fixtures/chain.cpp"));
    EXPECT_THAT(frame.file, StartsWith("/"));
  }
}

TEST_P(InlineChain, MarksInlinedFramesAndOnlyThem) {
  const auto frames = at_call("holder");
  ASSERT_THAT(frames, SizeIs(4));
  EXPECT_TRUE(frames[0].inlined);
  EXPECT_TRUE(frames[1].inlined);
  EXPECT_TRUE(frames[2].inlined);
  EXPECT_FALSE(frames[3].inlined);
}

TEST_P(InlineChain, KeepsNamesOfCFunctionsAsTheyAre) {
  const auto frames = at_call("plain_c");
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(frames[0].function, "plain_c");
  EXPECT_EQ(frames[0].line, lines_.at("plain_c"));
}

TEST_P(InlineChain, FindsLambdas) {
  const auto frames = at_call("lambda");
  // "main::{lambda(int)#1}::operator()(int) const" or what the compiler lets one know of it.
  EXPECT_THAT(frames.front().function, StartsWith("main"));
  EXPECT_THAT(frames.front().function, HasSubstr("::operator()"));
  EXPECT_EQ(frames.front().line, lines_.at("lambda"));
}

TEST_P(InlineChain, GivesOneNamelessFrameForAddressesOutsideOfCode) {
  for (std::uint64_t address : {std::uint64_t{0}, std::uint64_t{1}, UINT64_MAX - 1}) {
    EXPECT_EQ(look_up_in(program_, address), std::vector<SourceFrame>{SourceFrame{}});
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, InlineChain, ::testing::ValuesIn(fixtures_like("chain.")),
                         case_name);

}  // namespace
}  // namespace leaktrace::symbolize::test
