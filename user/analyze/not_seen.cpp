// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/not_seen.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "user/analyze/words.h"

namespace leaktrace::analyze {
namespace {

constexpr double kLeastGrowth = 1024.0 * 1024;   ///< bytes
constexpr std::uint64_t kLeastCpu = 10'000'000;  ///< ns; the kernel counts in as much
constexpr std::size_t kLeastReadings = 3;
/// A heap that grew by ten sampling intervals is missed by all samples once in 20,000 times.
constexpr double kLeastIntervals = 10;

/// What the call sites of a process saw.
struct Seen {
  std::uint64_t heap_count = 0;  ///< acquired
  std::uint64_t mapping_count = 0;
  double mapped_bytes = 0;  ///< acquired
};

/// What a process did while it was traced.
struct Growth {
  double seconds = 0;
  double bytes = 0;  ///< anonymous memory, resident or swapped
  std::uint64_t cpu_ns = 0;
};

std::unordered_map<model::ImageId, Seen> seen_by_image(const model::Trace& trace) {
  std::unordered_map<model::ImageId, Seen> images;
  for (const auto& [key, site] : trace.sites()) {
    Seen& seen = images[key.image];
    if (key.kind == model::Kind::heap) seen.heap_count += site.counters.acquired_count;
    if (key.kind != model::Kind::mmap) continue;
    seen.mapping_count += site.counters.acquired_count;
    seen.mapped_bytes += static_cast<double>(site.counters.acquired_bytes);
  }
  return images;
}

/// The first reading is from before the probes were there.
std::optional<Growth> growth_of(const model::MemorySeries* series) {
  if (series == nullptr) return std::nullopt;
  const std::vector<model::ProcessMemory> readings = series->readings();
  if (readings.size() < kLeastReadings) return std::nullopt;
  const model::ProcessMemory& from = readings[1];
  const model::ProcessMemory& to = readings.back();
  if (from.cpu_ns == 0 || to.cpu_ns < from.cpu_ns) return std::nullopt;
  const auto held = [](const model::ProcessMemory& reading) {
    return static_cast<double>(reading.anonymous_bytes) +
           static_cast<double>(reading.swapped_bytes);
  };
  return Growth{.seconds = static_cast<double>(to.at_ns - from.at_ns) / 1e9,
                .bytes = held(to) - held(from),
                .cpu_ns = to.cpu_ns - from.cpu_ns};
}

bool traces(const model::Trace& trace, model::Kind kind) {
  return std::ranges::find(trace.start().kinds, kind) != trace.start().kinds.end();
}

/// Growth by less may have been missed by chance.
double least_growth(const model::Trace& trace) {
  const double share = std::max(trace.observed_share(), 0.001);
  const auto interval =
      static_cast<double>(std::max(trace.start().sampling_bytes, trace.overhead().sampling_bytes));
  return std::max(kLeastGrowth, kLeastIntervals * interval) / share;
}

std::string did_words(const Growth& growth) {
  return fmt::format("in {} it used {} of CPU time and grew by {}", human_seconds(growth.seconds),
                     human_seconds(static_cast<double>(growth.cpu_ns) / 1e9),
                     human_bytes(static_cast<std::uint64_t>(growth.bytes)));
}

model::NotSeen nothing_fired(const model::Trace& trace, std::string name, const Growth& growth) {
  const char* what =
      trace.probe_hits() == 0 ? "no probe fired in it" : "no call that allocates was seen in it";
  return {.what = model::UnseenSubject::process,
          .name = std::move(name),
          .why = fmt::format("{}, though {}", what, did_words(growth)),
          .advice =
              "leaktrace doctor --probes on its program and libraries, for what is hooked; "
              "memory that it had before and touches now grows without a call, too"};
}

model::NotSeen heap_not_hit(std::string name, const Growth& growth, double mapped) {
  return {.what = model::UnseenSubject::allocator,
          .name = std::move(name),
          .why = fmt::format("no call of malloc or the like was seen, though {}, of which {} at "
                             "most is in mappings that were seen",
                             did_words(growth), human_bytes(static_cast<std::uint64_t>(mapped))),
          .advice =
              "look for an allocator of its own in the program (a pool, an arena); memory "
              "that it had before and touches now grows without a call, too"};
}

std::optional<model::NotSeen> judge(const model::Trace& trace, const model::TracedProcess& traced,
                                    const Seen& seen) {
  const auto growth = growth_of(trace.memory(traced.process.image));
  if (!growth || growth->cpu_ns < kLeastCpu || growth->bytes < least_growth(trace)) {
    return std::nullopt;
  }
  std::string name = fmt::format("{} ({})", traced.process.comm, traced.process.pid);
  if (seen.heap_count > 0) return std::nullopt;
  if (seen.mapping_count == 0) return nothing_fired(trace, std::move(name), *growth);
  const double mapped = seen.mapped_bytes / std::max(trace.observed_share(), 0.001);
  if (growth->bytes - mapped < growth->bytes / 2) return std::nullopt;
  return heap_not_hit(std::move(name), *growth, mapped);
}

}  // namespace

std::vector<model::NotSeen> not_seen(const model::Trace& trace) {
  std::vector<model::NotSeen> found;
  for (const auto& [subject, record] : trace.not_seen()) found.push_back(record);
  if (!traces(trace, model::Kind::heap)) return found;
  const auto images = seen_by_image(trace);
  for (const auto& [image, traced] : trace.processes()) {
    if (traced.process.pid == 0) continue;
    if (traced.end && traced.end->reason == model::EndReason::replaced) continue;
    const auto seen = images.find(image);
    auto judged = judge(trace, traced, seen == images.end() ? Seen{} : seen->second);
    if (judged) found.push_back(std::move(*judged));
  }
  return found;
}

}  // namespace leaktrace::analyze
