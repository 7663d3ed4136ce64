// SPDX-License-Identifier: Apache-2.0
#include "user/collect/survival.h"

#include <algorithm>
#include <cmath>

namespace leaktrace::collect {
namespace {

// What the process's expected hazard takes of one site, so that it is that of many sites and not of
// the busiest.
constexpr double kMostOfOneSite = 16;

// What was learned while the hazard was hardly known rests on a wrong chance of being alive, so a
// window counts the more the later it came, and less again when kMostWindows have passed.
constexpr double kForget = 0.5;
constexpr double kMostWindows = 1000;

double time_between(std::uint64_t from, std::uint64_t to) {
  return to > from ? static_cast<double>(to - from) : 0;
}

// Watches a block that is alive with the chance `alive` from one age to another: adds to each
// class the integral of that chance, which falls as no release is seen.
void watch(LifetimeEvidence& evidence, const LifetimeHazard& hazard, double alive, double from_age,
           double to_age) {
  while (from_age < to_age) {
    const std::size_t in = age_class_of(from_age);
    const double class_end = age_class_begin(in) + age_class_length(in);
    const double until = in + 1 == kAgeClasses ? to_age : std::min(class_end, to_age);
    const double passed = hazard.rate(in) * (until - from_age);
    const double survived = alive * std::exp(-passed);
    const double unreleased = 1 - alive + survived;
    const bool is_certain = unreleased <= 0 || alive >= 1;
    // The integral of alive e^-u / (1 - alive + alive e^-u), u from 0 to `passed`, is
    // -ln(unreleased); for a block known to be alive there is no doubt to lessen.
    const bool is_straight = is_certain || passed < 1e-9;
    evidence.add_exposure(
        in, is_straight ? alive * (until - from_age) : -std::log(unreleased) / hazard.rate(in));
    alive = is_certain ? alive : survived / unreleased;
    from_age = until;
  }
}

}  // namespace

void SurvivalModel::end_window(const Window& window, const LiveWalk& live,
                               std::span<const SiteLifetimes> released) {
  Moment at_begin = moment_at(window.from_ns, window.from_ns);
  for (auto& [key, site] : sites_) {
    site.windows = std::min(site.windows + 1, kMostWindows);
    site.evidence.scale(1 - kForget / (site.windows + kForget));
    site.in_table = 0;
  }
  for (const SiteLifetimes& seen : released) learn_releases(seen, window, at_begin);
  live([&](const LiveBlock& block) { learn_survival(block, window, at_begin); });
  end_uncounted_window(window);
  learn_expected();
}

void SurvivalModel::end_uncounted_window(const Window& window) {
  windows_.add(window);
  newest_ = moment_at(window.to_ns, window.to_ns);
}

void SurvivalModel::estimate(std::uint64_t now_ns, std::uint64_t open_from_ns,
                             const LiveWalk& live) {
  for (auto& [key, site] : sites_) {
    if (exited_.contains(key.image)) continue;
    site.unseen = {};
    site.count_by_hazard = site.bytes_by_hazard = 0;
  }
  if (windows_.spans().empty()) return;
  newest_ = moment_at(now_ns, open_from_ns);
  live([&](const LiveBlock& block) { add_unseen(block, newest_); });
}

UnseenEstimate SurvivalModel::unseen(const model::SiteKey& key) const {
  const auto found = sites_.find(key);
  if (found == sites_.end()) return {};
  const Site& site = found->second;
  // The logarithm of a rate that rests on n events has the variance 1/n.
  const double variance = 1 / (site.evidence.releases() + 1);
  UnseenEstimate unseen = site.unseen;
  unseen.count_variance += site.count_by_hazard * site.count_by_hazard * variance;
  unseen.bytes_variance += site.bytes_by_hazard * site.bytes_by_hazard * variance;
  return unseen;
}

void SurvivalModel::image_ended(model::ImageId image) {
  std::erase_if(sites_, [&](const auto& entry) { return entry.first.image == image; });
  expected_.erase(image);
  exited_.erase(image);
}

double SurvivalModel::alive(const LiveBlock& block) {
  const auto found = sites_.find(block.site);
  if (found == sites_.end() || exited_.contains(block.site.image)) return 1;
  return chance(hazard_of(block.site, found->second), block.acquired_ns, newest_).alive;
}

void SurvivalModel::each_site(const std::function<void(const model::SiteKey&)>& visit) const {
  for (const auto& [key, site] : sites_) visit(key);
}

SurvivalModel::Moment SurvivalModel::moment_at(std::uint64_t now_ns,
                                               std::uint64_t open_from_ns) const {
  return {now_ns, open_from_ns, std::vector<Steps>(windows_.spans().size())};
}

// Steps end where age classes would, were the block acquired at the window's end: fine where
// hazards change fast, coarse where the share of time is all that matters.
SurvivalModel::Steps SurvivalModel::steps_after(std::size_t index, const Moment& moment) const {
  const auto& spans = windows_.spans();
  const WindowHistory::Span& span = spans[index];
  const std::uint64_t next_from =
      index + 1 < spans.size() ? spans[index + 1].window.from_ns : moment.open_from_ns;
  // Of several windows together, the middle stands for all.
  const std::uint64_t from =
      span.windows == 1 ? span.window.to_ns
                        : span.window.from_ns + (span.window.to_ns - span.window.from_ns) / 2;
  const double blind =
      span.windows == 1
          ? time_between(from, next_from)
          : (time_between(span.window.from_ns, next_from) - static_cast<double>(span.observed)) /
                span.windows;
  const double all = time_between(from, moment.now_ns);
  const auto observed_at = [&](double age) {
    const std::uint64_t at = from + static_cast<std::uint64_t>(age);
    return static_cast<double>(windows_.observed_until(at)) + time_between(moment.open_from_ns, at);
  };

  Steps steps{{std::min(blind, all), 1}};
  while (steps.back().until_ns < all) {
    const double begin = steps.back().until_ns;
    const std::size_t in = age_class_of(begin);
    const double end =
        in + 1 == kAgeClasses ? all : std::min(all, age_class_begin(in) + age_class_length(in));
    const double observed = observed_at(end) - observed_at(begin);
    steps.push_back({end, std::clamp(1 - observed / (end - begin), 0.0, 1.0)});
  }
  return steps;
}

SurvivalModel::Chance SurvivalModel::chance(const LifetimeHazard& hazard, std::uint64_t acquired_ns,
                                            Moment& moment) const {
  if (acquired_ns >= moment.open_from_ns || windows_.spans().empty()) return {};
  const std::size_t index = windows_.span_of(acquired_ns);
  const WindowHistory::Span& span = windows_.spans()[index];
  const double watched = span.windows == 1 ? time_between(acquired_ns, span.window.to_ns)
                                           : static_cast<double>(span.observed) / span.windows / 2;
  Steps& steps = moment.steps[index];
  if (steps.empty()) steps = steps_after(index, moment);

  const double begin = hazard.until(watched);
  double alive = 1;
  double unseen = 0;
  for (const Step& step : steps) {
    const double next = std::exp(begin - hazard.until(watched + step.until_ns));
    unseen += step.blind * (alive - next);
    alive = next;
  }
  const double all = alive + unseen;
  return {all > 0 ? alive / all : 1, -std::log(std::max(alive, 1e-300))};
}

const LifetimeHazard& SurvivalModel::hazard_of(const model::SiteKey& key, Site& site) const {
  if (site.hazard_of != windows_learned_ || windows_learned_ == 0) {
    const auto expected = expected_.find(key.image);
    site.hazard = expected == expected_.end() ? site.evidence.hazard()
                                              : site.evidence.hazard(expected->second);
    site.hazard_of = windows_learned_;
  }
  return site.hazard;
}

void SurvivalModel::learn_releases(const SiteLifetimes& seen, const Window& window,
                                   Moment& at_begin) {
  Site& site = sites_[seen.site];
  const LifetimeHazard& hazard = hazard_of(seen.site, site);
  const double length = time_between(window.from_ns, window.to_ns);
  for (std::size_t i = 0; i < kAgeClasses; i++) {
    const std::uint32_t within = seen.released.within[i];
    const std::uint32_t across = seen.released.across[i];
    const double age = age_class_begin(i) + age_class_length(i) / 2;
    if (within > 0) {
      LifetimeEvidence watched;
      const double own = std::min(age_class_length(i), std::max(0.0, length - age_class_begin(i)));
      watch(watched, hazard, 1, 0, age_class_begin(i) + own / 2);
      watched.add_releases(i, 1);
      site.evidence.add(watched, within);
    }
    if (across > 0) {
      // Where in the window a release was is not known: in its middle. The chance that the block
      // had been alive up to then counts, as for those that were not released.
      const double in_window = std::min(length / 2, age);
      const auto before = static_cast<std::uint64_t>(age - in_window);
      const std::uint64_t acquired = window.from_ns > before ? window.from_ns - before : 0;
      LifetimeEvidence watched;
      watch(watched, hazard, chance(hazard, acquired, at_begin).alive, age - in_window, age);
      watched.add_releases(i, 1);
      site.evidence.add(watched, across);
    }
  }
}

void SurvivalModel::learn_survival(const LiveBlock& block, const Window& window, Moment& at_begin) {
  if (exited_.contains(block.site.image)) return;
  Site& site = sites_[block.site];
  site.in_table++;
  const LifetimeHazard& hazard = hazard_of(block.site, site);
  const double from_age = time_between(block.acquired_ns, window.from_ns);
  const double to_age = time_between(block.acquired_ns, window.to_ns);
  watch(site.evidence, hazard, chance(hazard, block.acquired_ns, at_begin).alive, from_age, to_age);
}

void SurvivalModel::learn_expected() {
  std::unordered_map<model::ImageId, LifetimeEvidence> of_image;
  for (const auto& [key, site] : sites_) {
    const double blocks = site.evidence.releases() + site.in_table;
    if (blocks > 0) of_image[key.image].add(site.evidence, std::min(1.0, kMostOfOneSite / blocks));
  }
  for (const auto& [image, evidence] : of_image) expected_[image] = evidence.hazard();
  windows_learned_++;
}

void SurvivalModel::add_unseen(const LiveBlock& block, Moment& moment) {
  if (block.acquired_ns >= moment.open_from_ns || exited_.contains(block.site.image)) return;
  Site& site = sites_[block.site];
  const Chance is = chance(hazard_of(block.site, site), block.acquired_ns, moment);
  const double doubt = is.alive * (1 - is.alive);
  site.unseen.count += (1 - is.alive) * block.count;
  site.unseen.bytes += (1 - is.alive) * block.bytes;
  site.unseen.count_variance +=
      doubt * block.count * block.count - (1 - is.alive) * block.count_variance;
  site.unseen.bytes_variance +=
      doubt * block.bytes * block.bytes - (1 - is.alive) * block.bytes_variance;
  site.count_by_hazard += doubt * is.hazard * block.count;
  site.bytes_by_hazard += doubt * is.hazard * block.bytes;
}

}  // namespace leaktrace::collect
