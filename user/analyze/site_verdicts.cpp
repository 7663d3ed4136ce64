// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/site_verdicts.h"

#include <utility>
#include <vector>

#include "user/analyze/verdict.h"

namespace leaktrace::analyze {
namespace {

/// Where probes were attached for part of the time, a site that grows may have grown in the rest
/// too, as fast.
double at_most(double high, double observed) {
  return observed > 0 && high > 0 ? high / observed : high;
}

void write(SiteVerdict&& verdict, double observed, ReportSite& out) {
  out.verdict = verdict.verdict;
  out.confidence = verdict.confidence;
  out.evidence = std::move(verdict.evidence);
  if (verdict.verdict == Verdict::undecided) return;
  out.bytes_per_second = verdict.bytes_per_second;
  out.growth_low = verdict.bytes_low;
  out.growth_high = at_most(verdict.bytes_high, observed);
  out.count_per_second = verdict.count_per_second;
  out.count_low = verdict.count_low;
  out.count_high = at_most(verdict.count_high, observed);
}

}  // namespace

void judge_sites(const model::Trace& trace, std::span<const SiteToJudge> sites,
                 const std::function<std::uint64_t(model::ImageId)>& end_of) {
  std::vector<VerdictInput> inputs;
  inputs.reserve(sites.size());
  for (const SiteToJudge& one : sites) {
    inputs.push_back({.history = &one.site->history,
                      .now_ns = end_of(one.key.image),
                      .since_ns = one.site->counters.since_ns,
                      .work = trace.readings(one.key.image).work});
  }
  std::vector<SiteVerdict> verdicts = judge(inputs);
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const bool is_lasting = sites[i].key.kind == model::Kind::pg_connection;
    write(std::move(verdicts[i]), is_lasting ? 1 : trace.observed_share(), *sites[i].out);
  }
}

}  // namespace leaktrace::analyze
