// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/verdict.h"

#include <algorithm>
#include <cmath>

#include "user/analyze/discovery.h"
#include "user/analyze/findings.h"

namespace leaktrace::analyze {
namespace {

constexpr std::size_t kLeastWindows = 7;  ///< of readings, before anything is claimed

bool holds(const Growth& growth) {
  return growth.rise.objection == Objection::none;
}

/// Of a site that does not grow.
void classify(const Findings& found, SiteVerdict& verdict) {
  const Level& level = found.level;
  const auto claim = [&](Verdict what, double confidence) {
    verdict.verdict = what;
    verdict.confidence = std::clamp(confidence, 0.0, 0.99);
  };
  if (level.windows < kLeastWindows) return;
  const double seen = 1 - 1 / (1 + static_cast<double>(level.windows) / 4);
  const double spread = level.half_high - level.half_low;
  const bool is_still = level.still * 2 >= level.windows;
  if (is_still && level.largest_step > 0.8) return claim(Verdict::one_off, seen);
  if (is_still) return claim(Verdict::plateau, seen);
  if (level.half_high > 0 && spread < 0.25 * level.half_high) {
    return claim(Verdict::plateau, seen * (1 - spread / level.half_high));
  }
  if (level.range > 0 && level.fall > 0.1 * level.range) {
    return claim(Verdict::fluctuating, seen * std::min(1.0, 0.5 + level.fall / level.range));
  }
  if (level.half_gain < 0.5 * spread) {
    return claim(Verdict::fluctuating, seen * (1 - std::max(level.half_gain, 0.0) / spread));
  }
}

double finite(double value) {
  return std::isfinite(value) ? value : 0;
}

void set_rates(const Findings& found, SiteVerdict& verdict) {
  verdict.bytes_per_second = finite(found.bytes.slope.value);
  verdict.bytes_low = finite(found.bytes.slope.low);
  verdict.bytes_high = finite(found.bytes.slope.high);
  verdict.count_per_second = finite(found.count.slope.value);
  verdict.count_low = finite(found.count.slope.low);
  verdict.count_high = finite(found.count.slope.high);
}

/// The chance that a site looks as if it grew, by bytes or by number.
double chance_of(const Findings& found) {
  const auto of = [](const Growth& growth) { return holds(growth) ? growth.p : 0.9999; };
  if (!found.bytes.moved && !found.count.moved) return 1;
  if (!found.bytes.moved) return of(found.count);
  if (!found.count.moved) return of(found.bytes);
  // Blocks of one size are one test; else there were two occasions to be found by chance.
  const double tests = found.bytes.p == found.count.p ? 1 : 2;
  return std::min(tests * std::min(of(found.bytes), of(found.count)), 0.9999);
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::growing:
      return "growing";
    case Verdict::plateau:
      return "plateau";
    case Verdict::fluctuating:
      return "fluctuating";
    case Verdict::one_off:
      return "one-off";
    case Verdict::undecided:
      return "undecided";
  }
  return "undecided";
}

std::vector<SiteVerdict> judge(std::span<const VerdictInput> sites, const VerdictOptions& options) {
  std::vector<Findings> findings;
  findings.reserve(sites.size());
  std::vector<double> chances;
  chances.reserve(sites.size());
  for (const VerdictInput& site : sites) {
    findings.push_back(find(site, options));
    chances.push_back(chance_of(findings.back()));
  }
  const std::vector<double> adjusted = false_discovery(chances);
  std::vector<SiteVerdict> verdicts(sites.size());
  for (std::size_t i = 0; i < sites.size(); ++i) {
    SiteVerdict& verdict = verdicts[i];
    const Findings& found = findings[i];
    set_rates(found, verdict);
    if (adjusted[i] <= options.false_discovery_rate) {
      verdict.verdict = Verdict::growing;
      verdict.confidence = std::clamp(1 - adjusted[i], 0.0, 1.0);
    } else {
      classify(found, verdict);
    }
    const bool by_bytes = holds(found.bytes) && found.bytes.p <= options.false_discovery_rate;
    verdict.evidence = describe(found, verdict, !by_bytes);
  }
  return verdicts;
}

}  // namespace leaktrace::analyze
