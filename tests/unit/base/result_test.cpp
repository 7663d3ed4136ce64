// SPDX-License-Identifier: Apache-2.0
#include "user/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace leaktrace {
namespace {

Result<std::unique_ptr<int>> make(bool works) {
  if (!works) return fail("it broke", "mend it");
  return std::make_unique<int>(42);
}

TEST(Result, HoldsAValueThatOnlyMoves) {
  auto result = make(true);
  ASSERT_TRUE(result);
  std::unique_ptr<int> value = *std::move(result);
  EXPECT_EQ(*value, 42);
}

TEST(Result, HoldsAnErrorWithAdvice) {
  auto result = make(false);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "it broke; mend it");
}

TEST(Result, PassesAnErrorOn) {
  Result<void> outer = make(false).unexpected();
  ASSERT_FALSE(outer);
  EXPECT_EQ(outer.error().what, "it broke");
}

TEST(Result, AStringIsAValueAndNoError) {
  Result<std::string> result(std::string("text"));
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, "text");
}

}  // namespace
}  // namespace leaktrace
