// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/memory.h"

#include <fmt/core.h>

#include <algorithm>

#include "user/analyze/words.h"

namespace leaktrace::analyze {
namespace {

constexpr double kNever = 10.0 * 365 * 86400;

std::uint64_t private_bytes(const model::ProcessMemory& memory) {
  return memory.anonymous_bytes + memory.swapped_bytes;
}

double a_second(std::uint64_t before, std::uint64_t after, double seconds) {
  if (seconds <= 0 || after < before) return 0;
  return static_cast<double>(after - before) / seconds;
}

std::uint64_t had_all_been_seen(std::uint64_t bytes, double observed) {
  constexpr double kMost = 1e18;
  if (observed <= 0) return bytes;
  return std::max(
      bytes, static_cast<std::uint64_t>(std::min(static_cast<double>(bytes) / observed, kMost)));
}

}  // namespace

std::string limit_words(const model::MemoryLimit& limit) {
  const std::string size = human_bytes(limit.bytes);
  if (limit.cgroup.empty()) return fmt::format("the machine's memory ({})", size);
  return fmt::format("the limit of cgroup {} ({})", limit.cgroup, size);
}

MemoryAccount::MemoryAccount(const model::Trace& trace) : trace_(trace) {
  for (const auto& [key, site] : trace.sites()) {
    if (!model::is_postgres(key.kind)) held_[key.image].all += site.counters.outstanding_bytes();
  }
}

const model::MemorySeries* MemoryAccount::alive(model::ImageId image) const {
  const auto process = trace_.processes().find(image);
  if (process != trace_.processes().end() && process->second.end) return nullptr;
  const model::MemorySeries* series = trace_.memory(image);
  return series == nullptr || series->newest().limit.bytes == 0 ? nullptr : series;
}

void MemoryAccount::add_growing(const model::SiteKey& key, double bytes_per_second) {
  const auto site = trace_.sites().find(key);
  if (site == trace_.sites().end() || model::is_postgres(key.kind)) return;
  held_[key.image].growing += site->second.counters.outstanding_bytes();
  if (const model::MemorySeries* series = alive(key.image)) {
    rates_[series->newest().limit.cgroup] += std::max(bytes_per_second, 0.0);
  }
}

std::optional<double> MemoryAccount::seconds_to_limit(model::ImageId image,
                                                      double bytes_per_second) const {
  const model::MemorySeries* series = alive(image);
  if (series == nullptr || !(bytes_per_second > 0)) return std::nullopt;
  const model::MemoryLimit& limit = series->newest().limit;
  const std::uint64_t left = limit.bytes - std::min(limit.used_bytes, limit.bytes);
  const double seconds = static_cast<double>(left) / bytes_per_second;
  return seconds < kNever ? std::optional(seconds) : std::nullopt;
}

std::optional<ReportMemory> MemoryAccount::of(model::ImageId image) const {
  const model::MemorySeries* series = trace_.memory(image);
  if (series == nullptr || series->empty()) return std::nullopt;
  const model::ProcessMemory& first = series->first();
  ReportMemory memory;
  memory.now = series->newest();
  memory.series = series->readings();
  memory.seconds = memory.now.at_ns > first.at_ns
                       ? static_cast<double>(memory.now.at_ns - first.at_ns) / 1e9
                       : 0;
  memory.growth_bytes = static_cast<std::int64_t>(private_bytes(memory.now)) -
                        static_cast<std::int64_t>(private_bytes(first));
  const auto held = held_.find(image);
  const Held sites = held == held_.end() ? Held{} : held->second;
  memory.growing_sites_bytes = sites.growing;
  memory.growing_sites_high = had_all_been_seen(sites.growing, trace_.observed_share());
  memory.other_sites_bytes = sites.all - std::min(sites.growing, sites.all);
  memory.unexplained_bytes = memory.growth_bytes - static_cast<std::int64_t>(sites.all);
  memory.minor_faults_per_second =
      a_second(first.minor_faults, memory.now.minor_faults, memory.seconds);
  memory.major_faults_per_second =
      a_second(first.major_faults, memory.now.major_faults, memory.seconds);
  const auto rate = rates_.find(memory.now.limit.cgroup);
  if (rate != rates_.end()) memory.seconds_to_limit = seconds_to_limit(image, rate->second);
  return memory;
}

}  // namespace leaktrace::analyze
