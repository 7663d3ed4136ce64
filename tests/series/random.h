// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

namespace leaktrace::series {

/// Random numbers that are the same with every standard library: its engines are specified to the
/// bit, its distributions are not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// In [0, 1).
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  bool chance(double probability) { return uniform() < probability; }
  double exponential(double mean) { return -mean * std::log1p(-uniform()); }

  /// Standard normal, by Box and Muller.
  double normal() {
    const double radius = std::sqrt(-2 * std::log1p(-uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

  std::uint64_t poisson(double mean) {
    if (!(mean > 0)) return 0;
    if (mean > 50) return whole(mean + std::sqrt(mean) * normal());
    std::uint64_t count = 0;
    for (double product = uniform(), limit = std::exp(-mean); product > limit; ++count) {
      product *= uniform();
    }
    return count;
  }

  std::uint64_t binomial(std::uint64_t trials, double probability) {
    const auto n = static_cast<double>(trials);
    if (probability >= 1) return trials;
    if (n * probability * (1 - probability) > 25) {
      const double drawn =
          n * probability + std::sqrt(n * probability * (1 - probability)) * normal();
      return std::min(trials, whole(drawn));
    }
    if (trials > 200) return std::min(trials, poisson(n * probability));
    std::uint64_t count = 0;
    for (std::uint64_t i = 0; i < trials; ++i) count += chance(probability) ? 1 : 0;
    return count;
  }

 private:
  static std::uint64_t whole(double value) {
    return value <= 0 ? 0 : static_cast<std::uint64_t>(std::llround(value));
  }
  std::mt19937_64 engine_;
};

}  // namespace leaktrace::series
