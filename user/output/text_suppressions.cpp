// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_suppressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/text_layout.h"

namespace leaktrace::output {
namespace {

using analyze::SuppressionState;
using analyze::SuppressionUse;

constexpr std::size_t kMostLines = 10;  // of each sort

std::string amount(const SuppressionUse& use) {
  std::string words = counted(use.sites, "site", "sites");
  if (use.outstanding_count > 0 || use.postgres_count == 0) {
    words += fmt::format(", {} in {}", analyze::human_bytes(use.outstanding_bytes),
                         counted(use.outstanding_count, "resource", "resources"));
  }
  if (use.postgres_count > 0) words += fmt::format(", {} open in PostgreSQL", use.postgres_count);
  return words;
}

std::string left_out(const SuppressionUse& use) {
  return fmt::format("suppressed: {} ({}; {})", amount(use), printable(use.reason),
                     printable(use.entry));
}

std::string expired(const SuppressionUse& use) {
  return fmt::format("suppression expired on {}, it leaves out nothing any more ({}; {})",
                     use.expires, printable(use.reason), printable(use.entry));
}

std::string unmatched(const SuppressionUse& use) {
  return fmt::format("suppression that fits nothing outstanding ({}; {})", printable(use.reason),
                     printable(use.entry));
}

template <typename Chosen, typename Words>
std::string lines(const std::vector<SuppressionUse>& uses, Chosen chosen, Words words) {
  std::string out;
  std::size_t number = 0;
  for (const SuppressionUse& use : uses) {
    if (chosen(use) && ++number <= kMostLines) out += wrapped(words(use), 0, 2) + '\n';
  }
  if (number > kMostLines) {
    out += fmt::format("… and {} more, which the JSON report lists\n", number - kMostLines);
  }
  return out;
}

}  // namespace

std::string suppression_lines(const analyze::Report& report) {
  const auto is = [](SuppressionState state) {
    return [state](const SuppressionUse& use) { return use.state == state; };
  };
  std::string out = lines(
      report.suppressed, [](const SuppressionUse& use) { return use.sites > 0; }, left_out);
  out += lines(report.suppressed, is(SuppressionState::expired), expired);
  // The site may still come while the trace goes on.
  if (report.final || report.cut_off) {
    out += lines(report.suppressed, is(SuppressionState::unmatched), unmatched);
  }
  return out;
}

std::string suppressed_words(const analyze::Report& report) {
  std::uint64_t sites = 0;
  for (const SuppressionUse& use : report.suppressed) sites += use.sites;
  return sites == 0 ? std::string() : counted(sites, "site", "sites") + " suppressed";
}

}  // namespace leaktrace::output
