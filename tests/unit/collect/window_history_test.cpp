// SPDX-License-Identifier: Apache-2.0
#include "user/collect/window_history.h"

#include <gtest/gtest.h>

namespace leaktrace::collect {
namespace {

TEST(WindowHistory, KnowsHowLongProbesWereAttached) {
  WindowHistory history;
  EXPECT_EQ(history.observed_until(100), 0U);
  history.add({100, 150});
  history.add({200, 210});
  EXPECT_EQ(history.observed_until(100), 0U);
  EXPECT_EQ(history.observed_until(120), 20U);
  EXPECT_EQ(history.observed_until(150), 50U);
  EXPECT_EQ(history.observed_until(199), 50U);
  EXPECT_EQ(history.observed_until(205), 55U);
  EXPECT_EQ(history.observed_until(1000), 60U);
}

TEST(WindowHistory, GivesABlockTheWindowThatHadBegun) {
  WindowHistory history;
  history.add({100, 150});
  history.add({200, 210});
  EXPECT_EQ(history.span_of(90), 0U);
  EXPECT_EQ(history.span_of(100), 0U);
  EXPECT_EQ(history.span_of(199), 0U);
  EXPECT_EQ(history.span_of(200), 1U);
}

TEST(WindowHistory, CutsWindowsThatOverlapOrEndBeforeTheyBegin) {
  WindowHistory history;
  history.add({100, 150});
  history.add({140, 160});
  history.add({170, 165});
  EXPECT_EQ(history.observed_until(1000), 60U);
  EXPECT_EQ(history.spans().back().window, (Window{170, 170}));
}

TEST(WindowHistory, IsBoundedAndKeepsTheSums) {
  WindowHistory history;
  constexpr std::uint64_t kWindows = 3 * WindowHistory::kMostWindows;
  for (std::uint64_t i = 0; i < kWindows; i++) history.add({i * 100, i * 100 + 10});
  EXPECT_LE(history.spans().size(), WindowHistory::kMostWindows);
  EXPECT_EQ(history.observed_until(kWindows * 100), kWindows * 10);
  std::uint64_t before = 0;
  std::uint64_t windows = 0;
  for (const WindowHistory::Span& span : history.spans()) {
    EXPECT_EQ(span.observed_before, before);
    EXPECT_EQ(span.observed, span.windows * 10U);
    EXPECT_EQ(span.window.from_ns, windows * 100);
    before += span.observed;
    windows += span.windows;
  }
  EXPECT_EQ(windows, kWindows);
  EXPECT_EQ(history.spans().back().windows, 1U);
}

}  // namespace
}  // namespace leaktrace::collect
