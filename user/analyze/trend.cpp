// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/trend.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace leaktrace::analyze {
namespace {

constexpr std::size_t kExact = 16;  ///< longest series whose distribution of ranks is tabled
constexpr double kWorking = 1.5;
constexpr double kLeastPart = 0.75;
constexpr std::size_t kMostPairs = kExact * (kExact - 1) / 2;

int sign(double value) {
  return (value > 0) - (value < 0);
}

double normal_tail(double z) {
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

/// tails()[n][d]: the chance that of n values in random order at most d pairs are out of order.
using Tails = std::array<std::array<double, kMostPairs + 1>, kExact + 1>;

const Tails& tails() {
  static const Tails kTails = [] {
    Tails table{};
    table[0][0] = table[1][0] = 1;
    for (std::size_t n = 2; n <= kExact; ++n) {
      for (std::size_t d = 0; d <= n * (n - 1) / 2; ++d) {
        for (std::size_t k = 0; k < n && k <= d; ++k) table[n][d] += table[n - 1][d - k];
        table[n][d] /= static_cast<double>(n);
      }
    }
    for (auto& row : table) {
      for (std::size_t d = 1; d < row.size(); ++d) row[d] += row[d - 1];
    }
    return table;
  }();
  return kTails;
}

struct Kendall {
  double s = 0;         ///< pairs that rise less pairs that fall
  double variance = 0;  ///< of s, when there is no trend
  double factor = 1;    ///< by which autocorrelation makes that larger
  bool has_ties = false;
};

/// Ranks, the mean of ties; of few values, so by counting.
void ranks(std::span<const double> y, std::span<double> out) {
  for (std::size_t i = 0; i < y.size(); ++i) {
    double rank = 0.5;
    for (const double other : y) rank += other < y[i] ? 1 : (other == y[i] ? 0.5 : 0);
    out[i] = rank;
  }
}

double median_slope(std::span<const double> y, std::vector<double>& slopes) {
  slopes.clear();
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (std::size_t j = i + 1; j < y.size(); ++j) {
      slopes.push_back((y[j] - y[i]) / static_cast<double>(j - i));
    }
  }
  if (slopes.empty()) return 0;
  const auto middle = slopes.begin() + static_cast<std::ptrdiff_t>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  return *middle;
}

/// `rest`: what is left of the values when the trend is taken away.
double autocorrelation_factor(std::span<const double> rest) {
  const std::size_t n = rest.size();
  thread_local std::vector<double> ranked;
  ranked.resize(n);
  ranks(rest, ranked);
  const double mean = (static_cast<double>(n) + 1) / 2;
  double variance = 0;
  for (const double rank : ranked) variance += (rank - mean) * (rank - mean);
  if (!(variance > 0)) return 1;
  const auto size = static_cast<double>(n);
  double sum = 0;
  for (std::size_t lag = 1; lag + 3 <= n; ++lag) {
    double product = 0;
    for (std::size_t i = 0; i + lag < n; ++i) {
      product += (ranked[i] - mean) * (ranked[i + lag] - mean);
    }
    const double rho = product / variance;
    if (std::abs(rho) * std::sqrt(size) < 1.96) continue;  // nothing but noise
    const auto left = static_cast<double>(n - lag);
    sum += left * (left - 1) * (left - 2) * rho;
  }
  return std::max(1.0, 1 + 2 * sum / (size * (size - 1) * (size - 2)));
}

Kendall kendall(std::span<const double> y, std::span<const double> rest) {
  Kendall result;
  const auto n = static_cast<double>(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (std::size_t j = i + 1; j < y.size(); ++j) result.s += sign(y[j] - y[i]);
  }
  thread_local std::vector<double> sorted;
  sorted.assign(y.begin(), y.end());
  std::sort(sorted.begin(), sorted.end());
  double ties = 0;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t end = i + 1;
    while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
    const auto t = static_cast<double>(end - i);
    ties += t * (t - 1) * (2 * t + 5);
    i = end;
  }
  result.has_ties = ties > 0;
  result.variance = (n * (n - 1) * (2 * n + 5) - ties) / 18;
  result.factor = autocorrelation_factor(rest);
  return result;
}

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by the
/// method of Lentz.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m < 200; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      step = c * d;
      value *= step;
    }
    if (std::abs(step - 1) < 1e-12) break;
  }
  return value;
}

double long_run_variance(std::span<const double> increments, double mean) {
  const std::size_t n = increments.size();
  const auto size = static_cast<double>(n);
  const auto covariance = [&](std::size_t lag) {
    double product = 0;
    for (std::size_t i = 0; i + lag < n; ++i) {
      product += (increments[i] - mean) * (increments[i + lag] - mean);
    }
    return product / size;
  };
  const double plain = covariance(0);
  if (!(plain > 0)) return 0;
  const auto lags = static_cast<std::size_t>(std::floor(4 * std::pow(size / 100, 2.0 / 9)));
  double long_run = plain;
  for (std::size_t lag = 1; lag <= lags; ++lag) {
    const double weight = 1 - static_cast<double>(lag) / static_cast<double>(lags + 1);
    long_run += 2 * weight * covariance(lag);
  }
  const double neighbours = std::min(covariance(1) / plain, 0.0);
  const double least = plain * std::max(kLeastPart, kWorking * (1 + 2 * neighbours));
  return std::max(least, long_run) * size / (size - 1);
}

}  // namespace

double variance_of_neighbours(std::span<const double> values) {
  if (values.size() < 2) return 0;
  double sum = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    sum += (values[i] - values[i - 1]) * (values[i] - values[i - 1]);
  }
  return sum / (2 * static_cast<double>(values.size() - 1));
}

double student_tail(double t, double degrees) {
  if (t < 0) return 1 - student_tail(-t, degrees);
  if (!std::isfinite(t)) return 0;
  const double x = degrees / (degrees + t * t);
  const double a = degrees / 2;
  constexpr double kB = 0.5;
  if (x <= 0) return 0;
  if (x >= 1) return 0.5;
  const double front = std::exp(std::lgamma(a + kB) - std::lgamma(a) - std::lgamma(kB) +
                                a * std::log(x) + kB * std::log1p(-x));
  const double beta = x < (a + 1) / (a + kB + 2) ? front * beta_fraction(a, kB, x) / a
                                                 : 1 - front * beta_fraction(kB, a, 1 - x) / kB;
  return std::clamp(0.5 * beta, 0.0, 0.5);
}

double mann_kendall(std::span<const double> y) {
  if (y.size() < 4) return 1;
  thread_local std::vector<double> slopes;
  thread_local std::vector<double> rest;
  const double slope = median_slope(y, slopes);
  rest.clear();
  for (std::size_t i = 0; i < y.size(); ++i) rest.push_back(y[i] - slope * static_cast<double>(i));
  const Kendall found = kendall(y, rest);
  if (found.s <= 0) return 1;
  const std::size_t pairs = y.size() * (y.size() - 1) / 2;
  if (!found.has_ties && found.factor == 1 && y.size() <= kExact) {
    const auto falling = (pairs - static_cast<std::size_t>(found.s)) / 2;
    return std::min(1.0, tails()[y.size()][falling]);
  }
  const double variance = found.variance * found.factor;
  return variance > 0 ? normal_tail((found.s - 1) / std::sqrt(variance)) : 1;
}

double clip_to_share(std::span<double> increments, double share) {
  double sum = 0;
  for (const double increment : increments) sum += increment;
  // Each round cuts to a share of the sum before: the sum falls to where no more is to be cut.
  for (int round = 0; round < 64 && sum > 0; ++round) {
    const double most = share * sum;
    double cut = 0;
    for (double& increment : increments) {
      if (increment <= most * (1 + 1e-9)) continue;
      cut += increment - most;
      increment = most;
    }
    if (cut <= 1e-6 * sum) return std::max(sum - cut, 0.0);
    sum -= cut;
  }
  return 0;
}

double drift(std::span<const double> increments, Increments kind) {
  const std::size_t n = increments.size();
  if (n < 4) return 1;
  const auto size = static_cast<double>(n);
  double sum = 0;
  for (const double increment : increments) sum += increment;
  const double mean = sum / size;
  if (!(mean > 0)) return 1;
  const double variance = kind == Increments::only_up ? variance_of_neighbours(increments)
                                                      : long_run_variance(increments, mean);
  if (!(variance > 0)) return 0;
  return student_tail(mean / std::sqrt(variance / size), size - 1);
}

Slope theil_sen(std::span<const double> x, std::span<const double> y,
                std::vector<double>& scratch) {
  scratch.clear();
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (std::size_t j = i + 1; j < y.size(); ++j) {
      if (x[j] > x[i]) scratch.push_back((y[j] - y[i]) / (x[j] - x[i]));
    }
  }
  if (scratch.empty()) return {};
  const auto middle = scratch.begin() + static_cast<std::ptrdiff_t>(scratch.size() / 2);
  std::nth_element(scratch.begin(), middle, scratch.end());
  double median = *middle;
  if (scratch.size() % 2 == 0) median = (median + *std::max_element(scratch.begin(), middle)) / 2;
  thread_local std::vector<double> rest;
  rest.clear();
  for (std::size_t i = 0; i < y.size(); ++i) rest.push_back(y[i] - median * x[i]);
  const Kendall found = kendall(y, rest);
  // The limits are so many places off the middle, one in each half that it parts.
  const auto pairs = static_cast<double>(scratch.size());
  const double wide = 1.96 * std::sqrt(found.variance * found.factor);
  const auto place = [&](double rank) {
    return scratch.begin() + static_cast<std::ptrdiff_t>(std::clamp(rank, 0.0, pairs - 1));
  };
  const auto low = place(std::floor((pairs - wide) / 2));
  const auto high = place(std::ceil((pairs + wide) / 2));
  if (low < middle) std::nth_element(scratch.begin(), low, middle);
  if (high > middle) std::nth_element(middle + 1, high, scratch.end());
  return {median, std::min(median, *low), std::max(median, *high)};
}

}  // namespace leaktrace::analyze
