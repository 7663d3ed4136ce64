// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/discovery.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/series/random.h"

namespace leaktrace::analyze {
namespace {

TEST(FalseDiscovery, IsThatOfBenjaminiAndHochberg) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005, 0.9};
  const auto q = false_discovery(p);
  EXPECT_DOUBLE_EQ(q[3], 0.025);
  EXPECT_DOUBLE_EQ(q[0], 0.025);
  EXPECT_DOUBLE_EQ(q[2], 0.05);
  EXPECT_DOUBLE_EQ(q[1], 0.05);
  EXPECT_DOUBLE_EQ(q[4], 0.9);
}

TEST(FalseDiscovery, WhatIsNoTestDoesNotCount) {
  const std::vector<double> p = {0.01, 1, NAN, 1, -3, 7};
  const auto q = false_discovery(p);
  EXPECT_DOUBLE_EQ(q[0], 0.01);
  for (std::size_t i = 1; i < q.size(); ++i) EXPECT_EQ(q[i], 1);
  EXPECT_TRUE(false_discovery({}).empty());
}

TEST(FalseDiscovery, HoldsTheShareOfFalseOnes) {
  series::Random random(5);
  double share = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<double> p;
    for (int i = 0; i < 200; ++i) p.push_back(i < 20 ? 1e-5 * random.uniform() : random.uniform());
    const auto q = false_discovery(p);
    double accused = 0, found = 0;
    for (std::size_t i = 0; i < q.size(); ++i) {
      if (q[i] <= 0.1) (i < 20 ? found : accused) += 1;
    }
    share += accused / std::max(1.0, accused + found) / 300;
  }
  EXPECT_LT(share, 0.11);
}

}  // namespace
}  // namespace leaktrace::analyze
