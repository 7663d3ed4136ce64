// SPDX-License-Identifier: Apache-2.0
#include "user/collect/script_frames.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace leaktrace::collect {
namespace {

/// One frame a character: native ones, with E for one that evaluates.
std::vector<NativeFrame> native(std::string_view names) {
  std::vector<NativeFrame> frames;
  for (const char name : names) {
    frames.push_back(
        {{.address = static_cast<std::uint64_t>(name), .module = {}, .offset = 0}, name == 'E'});
  }
  return frames;
}

/// One script frame a character; the last of each run is followed by a dot.
std::vector<ScriptFrame> script(std::string_view names) {
  std::vector<ScriptFrame> frames;
  for (const char name : names) {
    if (name == '.') {
      frames.back().entered = true;
    } else {
      frames.push_back({{.address = static_cast<std::uint64_t>(name), .module = {}, .offset = 0}});
    }
  }
  return frames;
}

std::string joined(std::string_view of_native, std::string_view of_script, bool complete = true) {
  std::string names;
  for (const model::RawFrame& frame : join_frames(native(of_native), script(of_script), complete)) {
    names += static_cast<char>(frame.address);
  }
  return names;
}

TEST(JoinFrames, EachEvaluationHasItsRun) {
  EXPECT_EQ(joined("abEm", "xy."), "abxyEm");
  EXPECT_EQ(joined("abEcdEm", "x.yz."), "abxEcdyzEm");
  EXPECT_EQ(joined("EEm", "x.y."), "xEyEm");
}

TEST(JoinFrames, WithoutScriptFramesTheStackStays) {
  EXPECT_EQ(joined("abEm", ""), "abEm");
  EXPECT_EQ(joined("", "x."), "");
}

TEST(JoinFrames, AnEvaluationThatHasNoFrameYetIsTheInnermost) {
  EXPECT_EQ(joined("aEbEm", "xy."), "aEbxyEm");
}

TEST(JoinFrames, ARunWhoseEvaluationIsNotRecognizedJoinsTheNextOne) {
  EXPECT_EQ(joined("abEm", "x.yz."), "abxyzEm");
  EXPECT_EQ(joined("abEcEm", "x.y.z."), "abxyEczEm");
}

TEST(JoinFrames, OfACutStackTheInnermostBelongTogether) {
  EXPECT_EQ(joined("aEb", "x.yz.", false), "axEb");         // native frames cut
  EXPECT_EQ(joined("aEbEcE", "x.yz", false), "axEbyzEcE");  // script frames cut
}

}  // namespace
}  // namespace leaktrace::collect
