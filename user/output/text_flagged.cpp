// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_flagged.h"

#include <fmt/format.h>

#include <algorithm>

#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/reasons.h"
#include "user/output/text_layout.h"

namespace leaktrace::output {
namespace {

constexpr std::size_t kMostSites = 10;

/// The rate that was judged: see analyze::is_flagged().
std::string rate_words(const analyze::ReportSite& site) {
  if (!model::is_postgres(site.kind)) {
    return "at least " + analyze::human_byte_rate(site.growth_low);
  }
  return fmt::format("{:+.3g} {}/s", site.count_per_second, many_of(site.kind));
}

std::string site_line(const analyze::ReportSite& site) {
  return fmt::format("{}: {} [{}] in {}, {}: {}", analyze::verdict_name(site.verdict),
                     printable(site.label), model::kind_name(site.kind), owner_words(site),
                     rate_words(site), printable(site.evidence));
}

}  // namespace

std::vector<std::string> flagged_lines(const std::vector<const analyze::ReportSite*>& sites) {
  std::vector<std::string> lines;
  if (sites.empty()) return lines;
  lines.push_back("--fail-on: flagged " + counted(sites.size(), "call site", "call sites"));
  const std::size_t shown = std::min(sites.size(), kMostSites);
  for (std::size_t i = 0; i < shown; ++i) lines.push_back(site_line(*sites[i]));
  if (shown < sites.size()) lines.push_back(fmt::format("… and {} more", sites.size() - shown));
  return lines;
}

}  // namespace leaktrace::output
