// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/command_tag.h"

#include <gtest/gtest.h>

namespace leaktrace::postgres {
namespace {

TEST(CommandTag, SaysWhatAStatementWas) {
  EXPECT_EQ(verb_of_tag("START TRANSACTION"), Verb::begin);
  EXPECT_EQ(verb_of_tag("CLOSE CURSOR ALL"), Verb::close_all);
  EXPECT_EQ(verb_of_tag("COPY 5"), Verb::copy);
  EXPECT_EQ(verb_of_tag("SELECT 3"), Verb::other);
  EXPECT_EQ(verb_of_tag("DISCARD PLANS"), Verb::other);
  EXPECT_EQ(verb_of_tag(""), Verb::other);
}

TEST(CommandTag, AgreesWithinAFamily) {
  EXPECT_TRUE(agrees(Verb::declare, "DECLARE CURSOR"));
  EXPECT_TRUE(agrees(Verb::declare, ""));
  EXPECT_TRUE(agrees(Verb::rollback_to, "ROLLBACK"));
  EXPECT_TRUE(agrees(Verb::commit, "ROLLBACK"));
  EXPECT_TRUE(agrees(Verb::prepare_transaction, "ROLLBACK"));
  EXPECT_TRUE(agrees(Verb::discard_all, "DISCARD"));
  EXPECT_TRUE(agrees(Verb::deallocate_all, "DEALLOCATE"));
  EXPECT_TRUE(agrees(Verb::close_all, "CLOSE CURSOR"));
  EXPECT_TRUE(agrees(Verb::execute, "INSERT 0 1"));
  EXPECT_TRUE(agrees(Verb::copy, "COPY 3"));
  EXPECT_TRUE(agrees(Verb::other, "SELECT 1"));
  EXPECT_FALSE(agrees(Verb::other, "COMMIT"));
  EXPECT_FALSE(agrees(Verb::rollback, "COMMIT"));
  EXPECT_FALSE(agrees(Verb::declare, "SELECT 1"));
  EXPECT_FALSE(agrees(Verb::deallocate, "DEALLOCATE ALL"));
}

}  // namespace
}  // namespace leaktrace::postgres
