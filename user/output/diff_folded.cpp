// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "user/output/diff_writers.h"
#include "user/output/flame_tree.h"

namespace leaktrace::output {

std::string write_diff_folded(const analyze::Diff& diff) {
  std::map<std::string, FlameWeights> weights;  // by stack: sites that print alike are one line
  for (const analyze::DiffSite& site : diff.sites) {
    const FlameWeights more = flame_weights(site);
    FlameWeights& line = weights[folded_stack(flame_path(site))];
    line.older += more.older;
    line.newer += more.newer;
  }
  std::string out;
  for (const auto& [line, weight] : weights) {
    out += fmt::format("{} {} {}\n", line, weight.older, weight.newer);
  }
  return out;
}

}  // namespace leaktrace::output
