// SPDX-License-Identifier: Apache-2.0
#include "tests/series/scoring.h"

#include <fmt/format.h>

#include <cmath>

namespace leaktrace::series {

Share wilson(std::uint64_t hits, std::uint64_t of) {
  if (of == 0) return {0, 0, 1};
  constexpr double kZ = 1.959964;
  const auto n = static_cast<double>(of);
  const double share = static_cast<double>(hits) / n;
  const double middle = (share + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double wide =
      kZ / (1 + kZ * kZ / n) * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {share, std::max(0.0, middle - wide), std::min(1.0, middle + wide)};
}

Total total(const std::vector<Score>& scores) {
  Total sum;
  for (const Score& score : scores) {
    (score.leaks ? sum.leaks : sum.others) += score.runs;
    (score.leaks ? sum.found : sum.accused) += score.growing;
  }
  return sum;
}

analyze::VerdictInput read(const Series& series, model::History& history) {
  for (const model::Reading& reading : series.readings) history.add(reading);
  return {&history, series.end_ns, series.since_ns, series.work};
}

std::vector<Score> score(std::uint64_t half, double share) {
  std::vector<Pattern> all = patterns();
  std::vector<Score> scores;
  for (Pattern& pattern : all) {
    scores.push_back(
        {.pattern = pattern.name, .leaks = pattern.leaks, .verdicts = {}, .wrong = {}});
  }
  for (std::uint64_t seed = half; seed < 50; seed += 2) {
    std::vector<model::History> histories(all.size());
    std::vector<analyze::VerdictInput> inputs;
    for (std::size_t i = 0; i < all.size(); ++i) {
      inputs.push_back(read(play(all[i], seed, share), histories[i]));
    }
    const auto verdicts = analyze::judge(inputs);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool is_growing = verdicts[i].verdict == analyze::Verdict::growing;
      ++scores[i].runs;
      scores[i].growing += is_growing ? 1 : 0;
      ++scores[i].verdicts[std::string(analyze::verdict_name(verdicts[i].verdict))];
      if (is_growing != all[i].leaks) {
        scores[i].wrong = fmt::format("seed {}: {}", seed, verdicts[i].evidence);
      }
    }
  }
  return scores;
}

}  // namespace leaktrace::series
