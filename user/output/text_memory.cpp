// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/estimates.h"
#include "user/output/text_layout.h"
#include "user/output/text_parts.h"

namespace leaktrace::output {
namespace {

using analyze::human_byte_difference;
using analyze::human_bytes;
using analyze::human_seconds;
using analyze::ReportMemory;
using analyze::ReportTarget;

constexpr std::size_t kMostTargets = 3;
constexpr std::int64_t kWorthExplaining = 64 * 1024;  ///< bytes of growth

std::string fault_words(const ReportMemory& memory) {
  if (memory.minor_faults_per_second + memory.major_faults_per_second < 0.5) return {};
  std::string words = fmt::format(", {:.0f} page faults/s",
                                  memory.minor_faults_per_second + memory.major_faults_per_second);
  if (memory.major_faults_per_second >= 0.5) {
    words += fmt::format(" ({:.0f} from disk)", memory.major_faults_per_second);
  }
  return words;
}

std::string memory_words(const ReportMemory& memory) {
  std::string words =
      fmt::format("{} resident, {} anonymous", human_bytes(memory.now.resident_bytes),
                  human_bytes(memory.now.anonymous_bytes));
  if (memory.now.swapped_bytes > 0) {
    words += fmt::format(", {} swapped out", human_bytes(memory.now.swapped_bytes));
  }
  if (memory.seconds > 0) {
    words += fmt::format(" ({} in {})", human_byte_difference(memory.growth_bytes),
                         human_seconds(memory.seconds));
  }
  if (memory.now.heap_bytes > 0) {
    words += fmt::format(", [heap] {}", human_bytes(memory.now.heap_bytes));
  }
  return words + fault_words(memory);
}

std::string unexplained_words(const ReportMemory& memory) {
  const std::int64_t rest = memory.unexplained_bytes;
  const std::string words = fmt::format("{} in no traced block", human_byte_difference(rest));
  // What is less than two percent needs no reason.
  if (std::llabs(rest) * 50 < std::llabs(memory.growth_bytes)) return words;
  return fmt::format(
      "{} ({})", words,
      rest > 0 ? "fragmentation, kept by the allocator, or mapped by what is not traced"
               : "not touched yet, in memory that was there before, or counted beside the "
                 "allocator's mapping of it");
}

std::string growth_words(const ReportMemory& memory, const analyze::Report& report) {
  if (memory.growth_bytes < kWorthExplaining && memory.growing_sites_bytes == 0) return {};
  std::string growing = human_bytes(memory.growing_sites_bytes);
  if (was_paused(report) && memory.growing_sites_bytes > 0) {
    growing += fmt::format(" (up to {} with what was not observed)",
                           human_bytes(memory.growing_sites_high));
  }
  return fmt::format("{}, of which {} at call sites that grow, {} at others, {}",
                     human_byte_difference(memory.growth_bytes), growing,
                     human_bytes(memory.other_sites_bytes), unexplained_words(memory));
}

std::string limit_line(const ReportMemory& memory, const std::string& whose) {
  if (!memory.seconds_to_limit) return {};
  return head_line("limit", fmt::format("{}{}: {} used, full in {} at the rate of all that grow",
                                        whose, printable(analyze::limit_words(memory.now.limit)),
                                        human_bytes(memory.now.limit.used_bytes),
                                        human_seconds(*memory.seconds_to_limit)));
}

std::string target_lines(const ReportTarget& target, const analyze::Report& report) {
  const std::string whose = report.targets.size() == 1
                                ? std::string()
                                : fmt::format("{} ({}): ", printable(target.comm), target.pid);
  const ReportMemory& memory = *target.memory;
  std::string out = head_line("memory", whose + memory_words(memory));
  if (const std::string growth = growth_words(memory, report); !growth.empty()) {
    out += head_line("growth", whose + growth);
  }
  return out + limit_line(memory, whose);
}

}  // namespace

std::string memory_lines(const analyze::Report& report) {
  std::vector<const ReportTarget*> targets;
  for (const ReportTarget& target : report.targets) {
    if (target.memory) targets.push_back(&target);
  }
  std::ranges::stable_sort(targets, [](const ReportTarget* a, const ReportTarget* b) {
    return a->memory->growth_bytes > b->memory->growth_bytes;
  });
  std::string out;
  for (std::size_t i = 0; i < std::min(targets.size(), kMostTargets); ++i) {
    out += target_lines(*targets[i], report);
  }
  if (targets.size() > kMostTargets) {
    out +=
        head_line("", fmt::format("of {} that grew less, the JSON report says it",
                                  counted(targets.size() - kMostTargets, "process", "processes")));
  }
  return out;
}

}  // namespace leaktrace::output
