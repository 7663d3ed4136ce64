// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/address_space.h"

#include <gtest/gtest.h>

namespace leaktrace::tracer {
namespace {

Module module_with(std::uint32_t id, ElfImage::Segment segment) {
  Module module;
  module.id = id;
  module.image.segments = {segment};
  return module;
}

Mapping code(std::uint64_t start, std::uint64_t end, std::uint64_t offset) {
  Mapping mapping;
  mapping.start = start;
  mapping.end = end;
  mapping.offset = offset;
  mapping.executable = true;
  return mapping;
}

TEST(AddressSpace, TranslatesThroughTheSegment) {
  // As lld lays files out: the address differs from the offset in the file.
  Module module = module_with(1, {.file_offset = 0x1000, .address = 0x2000, .file_size = 0x3000});
  AddressSpace space;
  space.add(code(0x7000'1000, 0x7000'4000, 0x1000), &module);
  auto location = space.locate(0x7000'1234);
  ASSERT_TRUE(location);
  EXPECT_EQ(location->module, &module);
  EXPECT_EQ(location->address, 0x2234U);
}

TEST(AddressSpace, KnowsNothingOutside) {
  Module module = module_with(1, {0, 0, 0x10000});
  AddressSpace space;
  EXPECT_FALSE(space.locate(0x1000));
  space.add(code(0x1000, 0x2000, 0), &module);
  EXPECT_FALSE(space.locate(0xfff));
  EXPECT_TRUE(space.locate(0x1fff));
  EXPECT_FALSE(space.locate(0x2000));
}

TEST(AddressSpace, NewMappingReplacesWhatItCovers) {
  Module old_module = module_with(1, {0, 0, 0x10000});
  Module new_module = module_with(2, {0, 0, 0x10000});
  AddressSpace space;
  space.add(code(0x1000, 0x3000, 0), &old_module);
  space.add(code(0x3000, 0x4000, 0x2000), &old_module);
  space.add(code(0x2000, 0x3800, 0), &new_module);
  EXPECT_EQ(space.locate(0x2800)->module, &new_module);
  EXPECT_EQ(space.locate(0x3400)->module, &new_module);
  // A mapping that is half covered is no longer what it was.
  EXPECT_FALSE(space.locate(0x1800));
}

TEST(AddressSpace, KeepsWhatWasUnmapped) {
  Module module = module_with(1, {0, 0, 0x10000});
  AddressSpace space;
  space.add(code(0x1000, 0x2000, 0), &module);
  space.add(code(0x5000, 0x6000, 0), &module);
  EXPECT_TRUE(space.locate(0x1800));
}

}  // namespace
}  // namespace leaktrace::tracer
