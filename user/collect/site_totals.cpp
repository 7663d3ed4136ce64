// SPDX-License-Identifier: Apache-2.0
#include "user/collect/site_totals.h"

#include <algorithm>
#include <utility>

namespace leaktrace::collect {
namespace {

void add(model::Counters& sum, const model::Counters& part) {
  // No outstanding block of either is older than this: the earlier time of those that hold any.
  if (part.outstanding_count() > 0) {
    sum.since_ns =
        sum.outstanding_count() > 0 ? std::min(sum.since_ns, part.since_ns) : part.since_ns;
  } else if (sum.outstanding_count() == 0) {
    sum.since_ns = std::max(sum.since_ns, part.since_ns);
  }
  sum.add(part);
}

}  // namespace

model::Counters& SiteTotals::half(Site& site, const SiteEntry& entry) {
  return is_second(entry.place) ? site.second : site.first;
}

bool SiteTotals::take(const SiteEntry& entry, const model::Counters& counters) {
  model::Counters& last = half(sites_[site_of(entry)], entry);
  if (last == counters) return false;
  last = counters;
  return true;
}

model::Counters SiteTotals::last(const SiteEntry& entry) const {
  auto found = sites_.find(site_of(entry));
  if (found == sites_.end()) return {};
  Site site = found->second;
  return half(site, entry);
}

model::Counters SiteTotals::total(const model::SiteKey& key) const {
  auto found = sites_.find(key);
  if (found == sites_.end()) return {};
  model::Counters sum = found->second.first;
  add(sum, found->second.second);
  add(sum, found->second.removed);
  return sum;
}

void SiteTotals::removed(const SiteEntry& entry) {
  auto found = sites_.find(site_of(entry));
  if (found == sites_.end()) return;
  add(found->second.removed, std::exchange(half(found->second, entry), {}));
}

void SiteTotals::forget(const model::SiteKey& site) {
  sites_.erase(site);
}

void SiteTotals::forget(model::ImageId image) {
  std::erase_if(sites_, [&](const auto& entry) { return entry.first.image == image; });
}

}  // namespace leaktrace::collect
