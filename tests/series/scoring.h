// SPDX-License-Identifier: Apache-2.0
// Holds the verdicts to the labels of the labelled set.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/series/patterns.h"
#include "user/analyze/verdict.h"

namespace leaktrace::series {

struct Score {
  std::string pattern;
  bool leaks = false;
  std::uint64_t runs = 0;
  std::uint64_t growing = 0;
  std::map<std::string, std::uint64_t> verdicts;
  std::string wrong;  ///< evidence of one run that was judged wrong, with its seed
};

/// Share and its 95 % interval (Wilson, 1927).
struct Share {
  double value = 0;
  double low = 0;
  double high = 0;
};
[[nodiscard]] Share wilson(std::uint64_t hits, std::uint64_t of);

struct Total {
  std::uint64_t leaks = 0, found = 0, others = 0, accused = 0;
  [[nodiscard]] Share precision() const { return wilson(found, found + accused); }
  [[nodiscard]] Share recall() const { return wilson(found, leaks); }
};
[[nodiscard]] Total total(const std::vector<Score>& scores);

/// Seeds for tuning are even, those to report on odd: 50 of either half make the labelled set.
inline constexpr std::uint64_t kTuning = 0;
inline constexpr std::uint64_t kReporting = 1;

/// Plays each pattern with 25 seeds of one half. The patterns of one seed are judged together, as
/// the sites of one process are, after `share` of the time that each is to be watched.
[[nodiscard]] std::vector<Score> score(std::uint64_t half, double share = 1);

/// Reads a series into a history and says what is to be judged; the history must outlive it.
[[nodiscard]] analyze::VerdictInput read(const Series& series, model::History& history);

}  // namespace leaktrace::series
