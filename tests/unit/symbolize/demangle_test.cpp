// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {
namespace {

TEST(Demangle, CxxWithArguments) {
  EXPECT_EQ(demangle("_ZNSt6vectorIiSaIiEE9push_backERKi"),
            "std::vector<int, std::allocator<int> >::push_back(int const&)");
}

TEST(Demangle, RustLegacyWithoutItsHash) {
  EXPECT_EQ(demangle("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"),
            "core::fmt::Formatter::pad");
  EXPECT_EQ(demangle("_ZN63_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h"
                     "fedcba9876543210E"),
            "<alloc::vec::Vec<T> as core::clone::Clone>::clone");
}

TEST(Demangle, RustV0) {
  EXPECT_EQ(demangle("_RNvCs8NwYtU1Mohg_7mycrate3foo"), "mycrate::foo");
}

TEST(Demangle, LeavesOthersAsTheyAre) {
  for (const char* name :
       {"", "malloc", "_", "_init", "__libc_malloc", "_Zebra", "_Rust", "main"}) {
    EXPECT_EQ(demangle(name), name);
  }
}

TEST(Demangle, KeepsAFunctionThatOnlyLooksLikeARustHash) {
  EXPECT_EQ(demangle("_ZN3foo17h0123456789abcdxxEv"), "foo::h0123456789abcdxx()");
}

TEST(Demangle, GivesUpOnShortNamesThatStandForGigabytes) {
  std::string name = "_Z1fSt4pairIiiE";
  for (char digit = '0'; digit <= '9'; ++digit) {
    name += std::string("S_IS") + digit + "_S" + digit + "_E";
  }
  for (char digit = 'A'; digit <= 'Z'; ++digit) {
    name += std::string("S_IS") + digit + "_S" + digit + "_E";
  }
  EXPECT_EQ(demangle(name), name);
  EXPECT_EQ(demangle("_Z1fSt4pairIiiES_IS0_S0_E"),
            "f(std::pair<int, int>, std::pair<std::pair<int, int>, std::pair<int, int> >)");
}

TEST(Demangle, GivesUpOnNamesBeyondReason) {
  const std::string name = "_Z" + std::string(100000, 'P') + "v";
  EXPECT_EQ(demangle(name), name);
}

}  // namespace
}  // namespace leaktrace::symbolize
