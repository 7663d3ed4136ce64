// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/estimate.h"

#include <algorithm>
#include <cmath>

namespace leaktrace::analyze {
namespace {

constexpr double kNormal95 = 1.959964;  ///< 97.5 % of a normal distribution is below it
constexpr double kNoneSeen =
    3.689;  ///< -ln 0.025: where as many are expected, none is seen this rarely

std::uint64_t whole(double amount) {
  constexpr double kMost = 1.8e19;  // just below 2^64
  return amount <= 0 ? 0 : static_cast<std::uint64_t>(std::min(amount, kMost));
}

/// The value below which the gamma distribution of that mean and variance has the share that the
/// normal one has below `normal`; by the cube root of Wilson and Hilferty (1931).
double gamma_quantile(double mean, double variance, double normal) {
  if (mean <= 0 || variance <= 0) return std::max(mean, 0.0);
  const double shape = mean * mean / variance;
  const double root = 1 - 1 / (9 * shape) + normal / (3 * std::sqrt(shape));
  return root <= 0 ? 0 : mean * root * root * root;
}

}  // namespace

// The chance that none of n blocks of S bytes is sampled is e^(-n S / interval).
Estimate estimate_of_none(std::uint64_t interval, double block_bytes) {
  const double size = std::max(block_bytes, 1.0);
  const double blocks = std::floor(kNoneSeen * static_cast<double>(interval) / size);
  return {.samples = 0, .count = {0, whole(blocks)}, .bytes = {0, whole(std::ceil(blocks * size))}};
}

Limits Outstanding::limits(double amount, const Unknown& unknown, double margin) {
  const double known = std::max(amount - unknown.mean, 0.0);
  const double low = gamma_quantile(unknown.mean, unknown.variance, -kNormal95) - margin;
  const double high = gamma_quantile(unknown.mean + unknown.more_mean,
                                     unknown.variance + unknown.more_variance, kNormal95) +
                      margin;
  return {whole(std::floor(std::min(known + low, amount))),
          whole(std::ceil(std::max(known + high, amount)))};
}

Outstanding::Outstanding(const model::Counters& counters) {
  const model::Estimate& from = counters.estimate;
  count_ = static_cast<double>(counters.outstanding_count());
  bytes_ = static_cast<double>(counters.outstanding_bytes());
  count_variance_ = from.count_variance;
  bytes_variance_ = from.bytes_variance;
  samples_ = from.outstanding_samples();
  unseen_count_ = from.unseen_count;
  unseen_bytes_ = from.unseen_bytes;
  if (unseen_count_ > 0) return;  // which of the blocks that were seen are alive, nobody knows
  if (from.acquired_samples == 0) {
    seen_ = count_;
    return;
  }
  seen_ = std::min(static_cast<double>(samples_), count_);
  // Equal weights would give the least variance; the counters may have lost fractions of it.
  if (seen_ > 0) count_variance_ = std::max(count_variance_, count_ * (count_ - seen_) / seen_);
}

void Outstanding::add_block(std::uint64_t size, double stands_for) {
  const auto bytes = static_cast<double>(size);
  // Above 1 a sample; below 1 the chance that the block is still alive.
  const double variance = stands_for * std::abs(stands_for - 1);
  count_ += stands_for;
  bytes_ += bytes * stands_for;
  seen_ += stands_for < 1 ? 0 : 1;
  count_variance_ += variance;
  bytes_variance_ += bytes * bytes * variance;
  ++samples_;
}

void Outstanding::add(const Outstanding& other) {
  count_ += other.count_;
  bytes_ += other.bytes_;
  seen_ += other.seen_;
  count_variance_ += other.count_variance_;
  bytes_variance_ += other.bytes_variance_;
  samples_ += other.samples_;
  unseen_count_ += other.unseen_count_;
  unseen_bytes_ += other.unseen_bytes_;
}

std::uint64_t Outstanding::count() const {
  return whole(std::round(count_));
}

std::uint64_t Outstanding::bytes() const {
  return whole(std::round(bytes_));
}

Outstanding::Unknown Outstanding::unknown_count() const {
  Unknown unknown{.mean = std::max(count_ - seen_, 0.0), .variance = count_variance_};
  if (unknown.mean <= 0) return unknown;
  const double weight = std::max(unknown.variance / unknown.mean, 1.0);
  const double unseen_part = unseen_count_ > 0 ? 1 : (weight - 1) / weight;
  unknown.more_mean = weight * unseen_part;
  unknown.more_variance = weight * weight * unseen_part;
  return unknown;
}

// Which bytes were seen the counters do not say. Taken to be those that leave as many samples with
// something unknown as the counts have.
Outstanding::Unknown Outstanding::unknown_bytes() const {
  const Unknown count = unknown_count();
  if (count.variance <= 0) return {.mean = 0, .variance = bytes_variance_};
  if (count.mean <= 0) return {.mean = bytes_, .variance = bytes_variance_};
  const double shape = count.mean * count.mean / count.variance;
  Unknown unknown{.mean = std::min(std::sqrt(bytes_variance_ * shape), bytes_),
                  .variance = bytes_variance_};
  if (count.more_mean > 0) {
    const double more = count.more_mean / count.mean;
    unknown.more_mean = unknown.mean * more;
    unknown.more_variance = unknown.variance * (count.more_variance / count.variance);
  }
  return unknown;
}

std::optional<Estimate> Outstanding::estimate() const {
  if (count_variance_ <= 0 && bytes_variance_ <= 0 && unseen_count_ == 0) return std::nullopt;
  const Unknown of_count = unknown_count();
  const Unknown of_bytes = unknown_bytes();
  // Blocks are missed whole, and counts were rounded to whole ones.
  const double block = of_count.mean > 0 ? of_bytes.mean / of_count.mean : 0;
  return Estimate{.samples = samples_,
                  .count = limits(count_, of_count, 0),
                  .bytes = limits(bytes_, of_bytes, block),
                  .unseen_count = unseen_count_,
                  .unseen_bytes = unseen_bytes_};
}

Estimate Outstanding::estimate_without_samples(std::uint64_t interval) const {
  const double most = kNoneSeen * static_cast<double>(interval);
  return {.samples = 0,
          .count = {count(), whole(std::ceil(count_ + most))},
          .bytes = {bytes(), whole(std::ceil(bytes_ + most))}};
}

}  // namespace leaktrace::analyze
