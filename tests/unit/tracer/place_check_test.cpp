// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/place_check.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/catalog/row.h"
#include "user/tracer/procfs.h"
#include "user/tracer/site_trial.h"

namespace leaktrace::tracer {
namespace {

/// The C library of this process, its `malloc`, and an honest answer for it.
class PlaceCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto maps = read_maps(::getpid());
    ASSERT_TRUE(maps);
    for (const Mapping& mapping : *maps) {
      if (mapping.path.find("/libc.so") == std::string::npos) continue;
      fd_ = UniqueFd(::open(mapping.path.c_str(), O_RDONLY | O_CLOEXEC));
    }
    ElfReader reader;
    auto contents = reader.read(fd_.get(), std::vector<std::string>{"malloc"});
    ASSERT_TRUE(contents);
    image_ = std::move(contents->image);
    ASSERT_FALSE(image_.functions.empty());
    request_ = {.site = {image_.functions.front(), {}}, .exits = true};
    auto places = reader.find_places(fd_.get(), image_, {&request_, 1}, emulated_);
    ASSERT_TRUE(places);
    honest_ = places->front();
    ASSERT_TRUE(honest_.site.emulated);
    ASSERT_FALSE(honest_.exits.returns.empty()) << honest_.exits.declined;
  }
  bool sound_with(const std::function<void(HookPlace&)>& change) {
    HookPlace place = honest_;
    change(place);
    return is_sound(place, request_, fd_.get(), image_, emulated_);
  }
  std::uint64_t data_offset() const {
    for (const ElfImage::Segment& segment : image_.segments) {
      if (!segment.executable && segment.file_offset > 0) return segment.file_offset;
    }
    return 0;
  }

  UniqueFd fd_;
  ElfImage image_;
  HookRequest request_;
  HookPlace honest_;
  ClassSet emulated_ = always_emulated();
};

TEST_F(PlaceCheck, TakesWhatIsTrue) {
  EXPECT_TRUE(sound_with([](HookPlace&) {}));
}

TEST_F(PlaceCheck, TakesNoOtherFunctionAndNothingFarFromIt) {
  EXPECT_FALSE(sound_with([](HookPlace& place) { ++place.site.entry; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { place.site.offset += kMostSiteBytes; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { place.site.offset = place.site.entry - 1; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { place.site.size = 16; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { place.site.pushed = 0x10000; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) {
    place.site.passed_over.push_back(
        {.offset = UINT64_MAX, .size = 1, .instruction = "", .why = ""});
  }));
  EXPECT_FALSE(sound_with([](HookPlace& place) {
    place.site.passed_over.push_back(
        {.offset = place.site.entry, .size = std::size_t{1} << 40, .instruction = "", .why = ""});
  }));
}

TEST_F(PlaceCheck, TakesNoInstructionThatIsNotThere) {
  EXPECT_FALSE(sound_with([](HookPlace& place) { ++place.site.size; }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { place.site.of_class = InstructionClass::other; }));
  emulated_ = {};
  EXPECT_FALSE(sound_with([](HookPlace&) {})) << "the kernel does not emulate it";
  EXPECT_TRUE(sound_with([](HookPlace& place) {
    place.site.emulated = false;
    for (ProbeSite& exit : place.exits.returns) exit.emulated = false;
  }));
}

TEST_F(PlaceCheck, TakesNoReturnThatIsNone) {
  EXPECT_FALSE(sound_with([](HookPlace& place) {  // an instruction, but another one
    place.exits.returns.push_back(place.site);
    place.exits.returns.back().entry = place.site.offset;
    place.exits.returns.back().passed_over.clear();
    place.exits.returns.back().pushed = 0;
  }));
  EXPECT_FALSE(sound_with([](HookPlace& place) { ++place.exits.returns.front().offset; }));
  EXPECT_FALSE(sound_with(
      [](HookPlace& place) { place.exits.returns.resize(100, place.exits.returns.front()); }));
}

TEST_F(PlaceCheck, TakesNothingOutsideOfCode) {
  ASSERT_NE(data_offset(), 0U);
  EXPECT_FALSE(is_in_code(image_.segments, data_offset(), 1));
  EXPECT_FALSE(is_in_code(image_.segments, UINT64_MAX, 15));
  EXPECT_TRUE(is_in_code(image_.segments, honest_.site.offset, honest_.site.size));
  request_.site.function.file_offset = data_offset();
  EXPECT_FALSE(sound_with([&](HookPlace& place) {
    place = {};
    place.site.entry = place.site.offset = data_offset();
    place.site.size = 1;
  }));
}

TEST_F(PlaceCheck, ReadsTheSegmentsThatLibelfDoes) {
  const auto segments = read_load_segments(fd_.get());
  ASSERT_EQ(segments.size(), image_.segments.size());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    EXPECT_EQ(segments[i].file_offset, image_.segments[i].file_offset);
    EXPECT_EQ(segments[i].address, image_.segments[i].address);
    EXPECT_EQ(segments[i].file_size, image_.segments[i].file_size);
    EXPECT_EQ(segments[i].executable, image_.segments[i].executable);
  }
  const UniqueFd text(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(read_load_segments(text.get()).empty());
  EXPECT_TRUE(read_load_segments(-1).empty());
}

}  // namespace
}  // namespace leaktrace::tracer
