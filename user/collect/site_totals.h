// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>

#include "user/collect/stack_place.h"
#include "user/model/record.h"

namespace leaktrace::collect {

/// The running totals of call sites. The kernel may have counted a site in several entries: one at
/// each place of its stack, and some that were removed since; a new entry counts from 0. The totals
/// are over all of them, so they never fall.
class SiteTotals {
 public:
  /// Takes what was read of an entry. True when it differs from the reading before.
  bool take(const SiteEntry& entry, const model::Counters& counters);
  /// What was read of an entry last; zeros before.
  [[nodiscard]] model::Counters last(const SiteEntry& entry) const;
  [[nodiscard]] model::Counters total(const model::SiteKey& site) const;

  /// The kernel's entry is gone; what was read of it last stays in the total.
  void removed(const SiteEntry& entry);
  /// The site is gone from the stream: when it comes back, it counts from 0.
  void forget(const model::SiteKey& site);
  void forget(model::ImageId image);

 private:
  /// By the site, not the entry: the two places are two halves of one value.
  struct Site {
    model::Counters first;
    model::Counters second;
    model::Counters removed;
  };

  [[nodiscard]] static model::Counters& half(Site& site, const SiteEntry& entry);

  std::unordered_map<model::SiteKey, Site> sites_;
};

}  // namespace leaktrace::collect
