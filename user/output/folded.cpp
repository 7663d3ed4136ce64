// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "user/output/flame_tree.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

/// A frame's name as one field of a folded line. Readers split at ';' and take what follows the
/// last blank for the weight, so blanks within are safe.
std::string field(const std::string& name) {
  std::string out = name;
  for (char& c : out) {
    if (c == ';') c = ':';
  }
  return out;
}

}  // namespace

std::string write_folded(const analyze::Report& report) {
  std::map<std::string, std::uint64_t> weights;  // by stack: sites that print alike are one line
  for (const analyze::ReportSite& site : report.sites) {
    std::string line;
    for (const FlameFrame& frame : flame_path(site)) {
      line += (line.empty() ? "" : ";") + field(frame.name);
    }
    weights[line] += flame_weight(site);
  }
  std::string out;
  for (const auto& [line, weight] : weights) out += fmt::format("{} {}\n", line, weight);
  return out;
}

}  // namespace leaktrace::output
