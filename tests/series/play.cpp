// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/series/patterns.h"

namespace leaktrace::series {

void Site::add(std::uint64_t count, std::uint64_t bytes) {
  acquired_count += count;
  acquired_bytes += bytes;
}

void Site::drop(std::uint64_t count, std::uint64_t bytes) {
  released_count += std::min(count, this->count());
  released_bytes += std::min(bytes, this->bytes());
}

void Site::become(std::uint64_t count, std::uint64_t bytes_each, std::uint64_t turnover) {
  acquire(turnover, bytes_each);
  drop(turnover, turnover * bytes_each);
  const std::uint64_t bytes = count * bytes_each;
  if (count > this->count()) add(count - this->count(), 0);
  if (bytes > this->bytes()) add(0, bytes - this->bytes());
  if (count < this->count()) drop(this->count() - count, 0);
  if (bytes < this->bytes()) drop(0, this->bytes() - bytes);
}

namespace {

/// Patterns of one seed are not to resemble each other.
std::uint64_t mixed(const std::string& name, std::uint64_t seed) {
  std::uint64_t mixed = seed * 0x9e3779b97f4a7c15ULL;
  for (const char c : name) mixed = (mixed ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mixed;
}

std::uint64_t whatever_changes(const Site& site) {
  return site.count() + site.bytes() + site.acquired_count + site.acquired_bytes;
}

}  // namespace

Play::Play(const Pattern& pattern, std::uint64_t seed)
    : pattern_(pattern),
      site_(mixed(pattern.name, seed)),
      step_(pattern.make(site_, pattern.seconds)),
      steps_(static_cast<std::uint64_t>(pattern.seconds / pattern.interval)) {}

void Play::step() {
  step_(site_, static_cast<double>(done_++) * pattern_.interval, pattern_.interval);
  site_.work += static_cast<double>(site_.random.poisson(site_.work_rate * pattern_.interval));
  now_ += pattern_.interval + site_.skip;
  site_.skip = 0;
}

Series play(const Pattern& pattern, std::uint64_t seed, double share) {
  Play play(pattern, seed);
  const Site& site = play.site();
  Series series;
  std::uint64_t previous_ns = 0;
  const auto steps = static_cast<std::uint64_t>(share * pattern.seconds / pattern.interval);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const std::uint64_t before = whatever_changes(site);
    const bool was_empty = site.count() == 0;
    play.step();
    const auto at_ns = static_cast<std::uint64_t>(play.now() * 1e9);
    if (was_empty) series.since_ns = at_ns;
    const std::uint64_t after = whatever_changes(site);
    if (after != before || (i == 0 && after != 0)) {
      series.readings.push_back({.at_ns = at_ns,
                                 .previous_ns = previous_ns,
                                 .count = site.count(),
                                 .bytes = site.bytes(),
                                 .acquired_count = site.acquired_count,
                                 .count_variance = site.count_variance,
                                 .bytes_variance = site.bytes_variance,
                                 .observed = site.observed,
                                 .work = site.work});
    }
    previous_ns = at_ns;
  }
  series.end_ns = previous_ns;
  series.work = site.work;
  return series;
}

std::vector<Pattern> patterns() {
  std::vector<Pattern> all = leaks();
  for (Pattern& pattern : not_leaks()) all.push_back(std::move(pattern));
  return all;
}

}  // namespace leaktrace::series
