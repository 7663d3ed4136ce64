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

Series play(const Pattern& pattern, std::uint64_t seed, double share) {
  // Patterns of one seed are not to resemble each other.
  std::uint64_t mixed = seed * 0x9e3779b97f4a7c15ULL;
  for (const char c : pattern.name)
    mixed = (mixed ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  Site site(mixed);
  const Step step = pattern.make(site, pattern.seconds);
  Series series;
  double now = 1;
  std::uint64_t previous_ns = 0;
  const auto steps = static_cast<std::uint64_t>(share * pattern.seconds / pattern.interval);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const auto before = site.count() + site.bytes() + site.acquired_count + site.acquired_bytes;
    const bool was_empty = site.count() == 0;
    step(site, static_cast<double>(i) * pattern.interval, pattern.interval);
    site.work += static_cast<double>(site.random.poisson(site.work_rate * pattern.interval));
    now += pattern.interval + site.skip;
    site.skip = 0;
    const auto at_ns = static_cast<std::uint64_t>(now * 1e9);
    if (was_empty) series.since_ns = at_ns;
    const auto after = site.count() + site.bytes() + site.acquired_count + site.acquired_bytes;
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
