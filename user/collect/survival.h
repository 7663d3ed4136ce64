// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "leaktrace/abi.h"
#include "user/collect/lifetime_hazard.h"
#include "user/collect/window_history.h"
#include "user/model/ids.h"

namespace leaktrace::collect {

/// A block in the kernel's table: acquired in a window of observation, its release not seen.
struct LiveBlock {
  model::SiteKey site;
  std::uint64_t acquired_ns = 0;  ///< CLOCK_MONOTONIC
  double count = 1;               ///< blocks that it stands for
  double bytes = 0;               ///< bytes that it stands for
  double count_variance = 0;      ///< of `count`, from sampling
  double bytes_variance = 0;
};

/// The releases of a site that were seen in one window.
struct SiteLifetimes {
  model::SiteKey site;
  lt_site_lifetimes released{};
};

/// Calls its argument for each block of the live table.
using LiveWalk = std::function<void(const std::function<void(const LiveBlock&)>&)>;

/// What is presumed released of what looks outstanding at a site.
struct UnseenEstimate {
  double count = 0;
  double bytes = 0;
  /// To be added to that of what looks outstanding, of which dead blocks are no part: by chance,
  /// and because the hazard is itself estimated. May be below 0.
  double count_variance = 0;
  double bytes_variance = 0;
};

/// Estimates what was released while no probe was attached.
///
///   probes:   ████        ████        ████
///   a block:    ●━━━━━━━━━━━━━━━━━━━━━━▶ ?     in the kernel's table: never seen released
///                 └ blind ┘   └ blind ┘        may have been released here
///
/// Each call site has a hazard of release by age (LifetimeHazard), learned from what was observed:
/// releases seen, by the time that blocks of that age were watched. From it follows, for a block in
/// the table, the chance that it is alive given that no release was seen:
///
///   alive / (alive + released in a blind period)
///
/// where `alive` is the survival from the end of the window in which it was acquired to now, and
/// each age's releases count as unseen by the share of time around then that was blind. This chance
/// is a function of the time of acquisition, the windows and the hazard: nothing is kept for a
/// block, and each estimate uses all that was learned up to it. A site whose blocks are never seen
/// to be released has no hazard, and all its blocks count as alive: that is the leak.
///
/// When a window ends, each block adds the time that it was watched in this window to its site's
/// exposure, weighted by its chance of being alive just then: releases minus the integral of hazard
/// and weight is a martingale, so that the ratio is consistent although dead blocks stay in the
/// table (Andersen, Borgan, Gill and Keiding, Statistical Models Based on Counting Processes, 1993,
/// chapter 3).
///
/// What cannot be told, whatever the method:
/// - Ages at which no block was ever watched: where all blind periods are equal, ages between the
///   longest window and the shortest blind period. A block that always lives just so long is taken
///   for what its neighbours in age suggest. Blind periods of varied length leave no such ages.
/// - Releases in step with the blind periods (a timer of the same period): never seen, so they look
///   like a leak. Varied periods help here too.
/// - A leak at a site that also releases, when lifetimes are longer than the windows: that some
///   releases are not seen, and that some blocks are never released, looks the same until many
///   releases were seen. The estimate takes the first to be true (LifetimeEvidence::hazard), so it
///   says too little of such a leak and not too much of a site without one.
/// - A change in behaviour shows only in blocks that are watched: a site that always released
///   within a millisecond and now leaks is believed after some hundred blocks.
/// - Blocks acquired while blind are in no table: what they leak is not part of any estimate here.
/// - Which of two blocks of one age and site is the released one.
///
/// About 700 bytes a site. Pure computation, not synchronized.
class SurvivalModel {
 public:
  /// A window of observation has ended; `live` walks what is in the table now.
  void end_window(const Window& window, const LiveWalk& live,
                  std::span<const SiteLifetimes> released);
  /// One in which the kernel did not count releases by age; nothing is learned from it.
  void end_uncounted_window(const Window& window);

  /// Estimates anew from what is in the table at `now_ns`. `open_from_ns`: when the window that is
  /// open began; `now_ns` when none is.
  void estimate(std::uint64_t now_ns, std::uint64_t open_from_ns, const LiveWalk& live);

  /// By the newest estimate(). Zeros for a site without blocks that lived through a blind period.
  [[nodiscard]] UnseenEstimate unseen(const model::SiteKey& site) const;

  /// The sites are gone, with all of their blocks.
  void forget(const model::SiteKey& site) { sites_.erase(site); }
  void image_ended(model::ImageId image);
  /// The process has exited: of its blocks the newest estimate stays.
  void image_exited(model::ImageId image) { exited_.insert(image); }

  /// Has anything been blind yet, and so been estimated?
  [[nodiscard]] bool has_windows() const { return !windows_.spans().empty(); }
  /// The chance that a block which estimate() was, or could have been, shown is alive.
  [[nodiscard]] double alive(const LiveBlock& block);
  /// The sites that estimate() has been shown blocks of, and those that were shown in a window.
  void each_site(const std::function<void(const model::SiteKey&)>& visit) const;
  [[nodiscard]] std::size_t sites() const { return sites_.size(); }

 private:
  struct Site {
    LifetimeEvidence evidence;
    LifetimeHazard hazard;
    std::uint64_t hazard_of = 0;  ///< number of the window after which it was computed
    double windows = 0;           ///< learned from, as far as they count
    double in_table = 0;          ///< blocks, when the newest window ended
    UnseenEstimate unseen;
    double count_by_hazard = 0;  ///< the derivative of unseen.count by the hazard's logarithm
    double bytes_by_hazard = 0;
  };

  /// A block's life after the window in which it was acquired, in steps.
  struct Step {
    double until_ns = 0;  ///< since that window's end
    double blind = 0;     ///< share of the step
  };
  using Steps = std::vector<Step>;
  /// By the index of the window's span; empty ones are computed when asked for.
  struct Moment {
    std::uint64_t now_ns = 0;
    std::uint64_t open_from_ns = 0;
    std::vector<Steps> steps;
  };
  struct Chance {
    double alive = 1;
    double hazard = 0;  ///< lived through since the window's end
  };

  [[nodiscard]] Moment moment_at(std::uint64_t now_ns, std::uint64_t open_from_ns) const;
  [[nodiscard]] Steps steps_after(std::size_t span, const Moment& moment) const;
  [[nodiscard]] Chance chance(const LifetimeHazard& hazard, std::uint64_t acquired_ns,
                              Moment& moment) const;
  [[nodiscard]] const LifetimeHazard& hazard_of(const model::SiteKey& key, Site& site) const;
  void learn_releases(const SiteLifetimes& seen, const Window& window, Moment& at_begin);
  void learn_survival(const LiveBlock& block, const Window& window, Moment& at_begin);
  void learn_expected();
  void add_unseen(const LiveBlock& block, Moment& moment);

  WindowHistory windows_;
  std::unordered_map<model::SiteKey, Site> sites_;
  std::unordered_map<model::ImageId, LifetimeHazard> expected_;
  std::unordered_set<model::ImageId> exited_;
  Moment newest_;  ///< of the newest estimate
  std::uint64_t windows_learned_ = 0;
};

}  // namespace leaktrace::collect
