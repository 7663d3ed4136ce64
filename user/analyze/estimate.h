// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "user/model/record.h"

namespace leaktrace::analyze {

/// Limits that hold the truth with 95 % confidence.
struct Limits {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

/// What is known of an outstanding amount that was not counted block by block.
struct Estimate {
  std::uint64_t samples = 0;  ///< outstanding blocks that were seen, which the amount rests on
  Limits count;
  Limits bytes;
  /// Left out of the amount: presumed released while no probe was attached.
  std::uint64_t unseen_count = 0;
  std::uint64_t unseen_bytes = 0;
};

/// What is known of a site at which one block in `interval` bytes was sampled on average and no
/// sample is outstanding: with 95 % confidence fewer blocks of `block_bytes` each than would have
/// given a sample. None, where such a block is hardly ever passed over.
[[nodiscard]] Estimate estimate_of_none(std::uint64_t interval, double block_bytes);

/// Outstanding blocks and what sampling leaves unknown of them; of one site, or added up over
/// several.
///
/// A block that is sampled with the chance p stands for w = 1/p blocks. Of the blocks that n
/// samples stand for, n were seen, and how many were not is distributed, given n, about as a
/// negative binomial: mean sum(w - 1), variance sum(w (w - 1)). Its limits are taken from the gamma
/// distribution of that mean and variance, the upper ones with one more sample. Where w is large
/// these are the exact limits of a Poisson count (Garwood, 1936; for unequal weights Fay and
/// Feuer, 1997), and with many samples those of the normal distribution; where w is 1 nothing is
/// unknown. Of blocks of a size of which none was sampled nobody can know: where small blocks are
/// mixed with large ones, counts are less sure than their limits say; bytes are not.
class Outstanding {
 public:
  Outstanding() = default;
  /// As the counters of a site say.
  explicit Outstanding(const model::Counters& counters);

  /// Adds a block that was seen and stands for so many (model::Block).
  void add_block(std::uint64_t size, double stands_for);
  void add(const Outstanding& other);

  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  /// Nothing when the amount is exact.
  [[nodiscard]] std::optional<Estimate> estimate() const;
  /// The limits when blocks were sampled, one in `interval` bytes on average, and none of the
  /// samples is outstanding: there may be blocks all the same, in the smallest case of a byte each.
  [[nodiscard]] Estimate estimate_without_samples(std::uint64_t interval) const;

 private:
  struct Unknown {
    double mean = 0;
    double variance = 0;
    double more_mean = 0;  ///< what one more sample would add
    double more_variance = 0;
  };
  [[nodiscard]] static Limits limits(double amount, const Unknown& unknown, double margin);
  [[nodiscard]] Unknown unknown_count() const;
  [[nodiscard]] Unknown unknown_bytes() const;

  double count_ = 0;
  double bytes_ = 0;
  double seen_ = 0;  ///< blocks of count_ that exist for certain
  double count_variance_ = 0;
  double bytes_variance_ = 0;
  std::uint64_t samples_ = 0;
  std::uint64_t unseen_count_ = 0;
  std::uint64_t unseen_bytes_ = 0;
};

}  // namespace leaktrace::analyze
