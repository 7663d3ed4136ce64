// SPDX-License-Identifier: Apache-2.0
#include "user/collect/lifetime_hazard.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leaktrace::collect {
namespace {

constexpr double kAgeUnit = 1ULL << LT_AGE_UNIT_SHIFT;

// Observations that the expected hazard counts for in one class: about one over the classes that a
// lifetime crosses. More, and a leak is believed late; less, and three blocks that happen to be in
// use when a window ends look like one.
constexpr double kStrength = 1.0 / 16;

// Hazard times age before anything is known, and what is assumed to go on from class to class: then
// as many of those that reach an age are released before twice that age, whatever the age.
constexpr double kUnknown = 0.3;

// More of a class than this is never said to be released in it.
constexpr double kMostOfAClass = 0.999;

double middle(std::size_t age_class) {
  return age_class_begin(age_class) + age_class_length(age_class) / 2;
}

double posterior(double releases, double exposure, double expected) {
  return (releases + kStrength) / (exposure + kStrength / expected);
}

// The hazard that makes as many be released in a class as an actuary says: those still alive at its
// end are counted, and not guessed from a rate. Releases are taken to be in the class's middle
// (SurvivalModel::learn_releases), where a rate of two per length means that all are released.
double hazard_of_rate(double rate, double length) {
  const double passed = rate * length;
  const double released = std::min(passed / (1 + passed / 2), kMostOfAClass);
  return -std::log1p(-released) / length;
}

}  // namespace

double age_class_begin(std::size_t age_class) {
  return age_class == 0 ? 0 : std::ldexp(kAgeUnit, static_cast<int>(age_class) - 1);
}

double age_class_length(std::size_t age_class) {
  return age_class == 0 ? kAgeUnit : age_class_begin(age_class);
}

std::size_t age_class_of(double age_ns) {
  if (age_ns < kAgeUnit) return 0;
  const int exponent = std::ilogb(age_ns / kAgeUnit);
  return std::min(static_cast<std::size_t>(exponent) + 1, kAgeClasses - 1);
}

LifetimeHazard::LifetimeHazard() = default;

LifetimeHazard::LifetimeHazard(const std::array<double, kAgeClasses>& rate) : rate_(rate) {
  for (std::size_t i = 1; i < kAgeClasses; i++) {
    until_begin_[i] = until_begin_[i - 1] + rate_[i - 1] * age_class_length(i - 1);
  }
}

double LifetimeHazard::until(double age_ns) const {
  if (age_ns <= 0) return 0;
  const std::size_t in = age_class_of(age_ns);
  return until_begin_.at(in) + rate_.at(in) * (age_ns - age_class_begin(in));
}

void LifetimeEvidence::add_releases(std::size_t age_class, double releases) {
  releases_.at(age_class) += releases;
}

void LifetimeEvidence::add_exposure(std::size_t age_class, double watched_ns) {
  exposure_ns_.at(age_class) += watched_ns;
}

void LifetimeEvidence::add(const LifetimeEvidence& other, double share) {
  for (std::size_t i = 0; i < kAgeClasses; i++) {
    releases_[i] += share * other.releases_[i];
    exposure_ns_[i] += share * other.exposure_ns_[i];
  }
}

double LifetimeEvidence::releases() const {
  return std::accumulate(releases_.begin(), releases_.end(), 0.0);
}

void LifetimeEvidence::scale(double share) {
  for (double& releases : releases_) releases *= share;
  for (double& exposure : exposure_ns_) exposure *= share;
}

LifetimeHazard LifetimeEvidence::hazard(const LifetimeHazard& expected) const {
  std::array<double, kAgeClasses> rate{};
  for (std::size_t i = 0; i < kAgeClasses; i++) {
    const double below = i == 0 ? expected.rate(0) : rate[i - 1] * middle(i - 1) / middle(i);
    const double mean =
        posterior(releases_[i], exposure_ns_[i], std::sqrt(below * expected.rate(i)));
    const double deviation = std::sqrt(releases_[i]) / (releases_[i] + 1);
    rate[i] = hazard_of_rate(mean * (1 + deviation), age_class_length(i));
  }
  return LifetimeHazard(rate);
}

LifetimeHazard LifetimeEvidence::hazard() const {
  std::array<double, kAgeClasses> rate{};
  for (std::size_t i = 0; i < kAgeClasses; i++) rate[i] = kUnknown / middle(i);
  return hazard(LifetimeHazard(rate));
}

}  // namespace leaktrace::collect
