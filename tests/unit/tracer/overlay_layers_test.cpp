// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/overlay_layers.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace leaktrace::tracer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseMountinfo, ReadsLinesWithAnyNumberOfOptionalFields) {
  const auto mounts = parse_mountinfo(
      "22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "nonsense\n"
      "67 43 0:41 /a /mnt/with\\040blank rw,relatime - overlay overlay rw,lowerdir=/l\n"
      "68 43 0:42 / /x rw shared:3 master:4 - overlay none ro,lowerdir=/l:/m,upperdir=/u\n");
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[1].id, 67U);
  EXPECT_EQ(mounts[1].device, "0:41");
  EXPECT_EQ(mounts[1].root, "/a");
  EXPECT_EQ(mounts[1].point, "/mnt/with blank");
  EXPECT_EQ(mounts[1].options, "rw,lowerdir=/l");
  EXPECT_EQ(mounts[2].id, 68U);
  EXPECT_EQ(mounts[2].type, "overlay");
}

TEST(ParseMountinfo, LeavesOutWhatIsCutOff) {
  EXPECT_THAT(parse_mountinfo("67 43 0:41 / /mnt rw,relatime - overlay\n"), IsEmpty());
  EXPECT_THAT(parse_mountinfo("67 43 0:41 / - overlay overlay rw a b\n"), IsEmpty());
  EXPECT_THAT(parse_mountinfo("\n\n \n"), IsEmpty());
  EXPECT_THAT(parse_mountinfo(""), IsEmpty());
}

TEST(OverlayLayers, AreUpperFirstThenLowerInTheirOrder) {
  EXPECT_THAT(overlay_layers("rw,lowerdir=/a:/b,upperdir=/u,workdir=/w,uuid=on"),
              ElementsAre("/u", "/a", "/b"));
  EXPECT_THAT(overlay_layers("ro,lowerdir=/a"), ElementsAre("/a"));
  EXPECT_THAT(overlay_layers("rw,lowerdir+=/a:1,lowerdir+=/b,datadir+=/d,upperdir=/u"),
              ElementsAre("/u", "/a:1", "/b"));
}

TEST(OverlayLayers, UndoEscapes) {
  EXPECT_THAT(overlay_layers("lowerdir=/a\\134:b:/c\\040d:/e\\054f"),
              ElementsAre("/a:b", "/c d", "/e,f"));
}

TEST(OverlayLayers, LeaveOutThoseOfDataOnly) {
  EXPECT_THAT(overlay_layers("lowerdir=/a:/b::/d:/e"), ElementsAre("/a", "/b"));
}

TEST(OverlayLayers, OfOtherOptionsAreNone) {
  EXPECT_THAT(overlay_layers("rw,size=4k,mode=755"), IsEmpty());
  EXPECT_THAT(overlay_layers(""), IsEmpty());
}

TEST(LayerFiles, OfAFileOnNoOverlayAreNone) {
  const UniqueFd fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(is_on_overlay(-1));
  if (!is_on_overlay(fd.get())) {
    EXPECT_THAT(layer_files(fd.get(), ::getpid(), {}, "/proc/self/exe"), IsEmpty());
  }
  EXPECT_THAT(layer_files(-1, ::getpid(), {}, "/"), IsEmpty());
}

}  // namespace
}  // namespace leaktrace::tracer
