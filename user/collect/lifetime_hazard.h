// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "leaktrace/abi.h"

namespace leaktrace::collect {

/// The age classes of struct lt_site_lifetimes.
inline constexpr std::size_t kAgeClasses = LT_AGE_CLASSES;
/// Where a class begins, nanoseconds.
[[nodiscard]] double age_class_begin(std::size_t age_class);
/// How long it is; the last one's is that of the one before, and all above.
[[nodiscard]] double age_class_length(std::size_t age_class);
[[nodiscard]] std::size_t age_class_of(double age_ns);

/// The hazard of release of blocks by age, constant within a class.
class LifetimeHazard {
 public:
  LifetimeHazard();  ///< 0 at all ages
  /// `rate`: releases per nanosecond of a live block.
  explicit LifetimeHazard(const std::array<double, kAgeClasses>& rate);

  [[nodiscard]] double rate(std::size_t age_class) const { return rate_.at(age_class); }
  /// The integral of the hazard from age 0: of all blocks e^-that survive so long.
  [[nodiscard]] double until(double age_ns) const;

 private:
  std::array<double, kAgeClasses> rate_{};
  std::array<double, kAgeClasses> until_begin_{};
};

/// What was seen of lifetimes: releases, and for how long blocks were watched.
class LifetimeEvidence {
 public:
  void add_releases(std::size_t age_class, double releases);
  void add_exposure(std::size_t age_class, double watched_ns);
  /// Adds another's, times `share`.
  void add(const LifetimeEvidence& other, double share);
  /// Takes this share of what is known, 0..1: to forget.
  void scale(double share);
  /// Releases of all ages.
  [[nodiscard]] double releases() const;

  /// The hazard, at the upper end of what the releases seen allow (one standard deviation), so that
  /// chance does not make a leak of what is released. Where little was seen, it leans on `expected`
  /// (the process's) and on the class below, as if one observation in all had said so.
  [[nodiscard]] LifetimeHazard hazard(const LifetimeHazard& expected) const;
  /// The same with nothing to lean on but the classes below.
  [[nodiscard]] LifetimeHazard hazard() const;

 private:
  std::array<double, kAgeClasses> releases_{};
  std::array<double, kAgeClasses> exposure_ns_{};
};

}  // namespace leaktrace::collect
