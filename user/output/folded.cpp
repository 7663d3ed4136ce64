// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "user/output/flame_tree.h"
#include "user/output/writers.h"

namespace leaktrace::output {
std::string write_folded(const analyze::Report& report) {
  std::map<std::string, std::uint64_t> weights;  // by stack: sites that print alike are one line
  for (const analyze::ReportSite& site : report.sites) {
    weights[folded_stack(flame_path(site))] += flame_weight(site);
  }
  std::string out;
  for (const auto& [line, weight] : weights) out += fmt::format("{} {}\n", line, weight);
  return out;
}

}  // namespace leaktrace::output
