// SPDX-License-Identifier: Apache-2.0
// What a trace that is not attached all the time knows of the rest (survival.h).
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "leaktrace/sampling.h"
#include "user/collect/live_source.h"
#include "user/collect/map_reader.h"

namespace leaktrace::collect {
namespace {

// The difference of two readings of one entry.
lt_site_lifetimes since(const lt_site_lifetimes& now, const lt_site_lifetimes& before) {
  lt_site_lifetimes seen{};
  for (std::size_t i = 0; i < LT_AGE_CLASSES; ++i) {
    seen.within[i] = now.within[i] - before.within[i];
    seen.across[i] = now.across[i] - before.across[i];
  }
  return seen;
}

std::uint64_t rounded(double amount) {
  return amount > 0 ? static_cast<std::uint64_t>(std::llround(amount)) : 0;
}

}  // namespace

Result<void> LiveSource::end_window(std::uint64_t from_ns, std::uint64_t to_ns) {
  const bool is_first = !survival_.has_windows();
  if (auto drained = drain(); !drained) return drained;
  window_ended_ns_ = to_ns;
  auto lifetimes = take_lifetimes();
  // Programs count releases by age when they were told of a window: perhaps not of the first.
  const bool is_counted = lifetimes && !(is_first && lifetimes->empty());
  if (lifetimes && handlers_.sessions != nullptr) {
    std::ranges::move(handlers_.sessions->take_lifetimes(trace_time(to_ns)),
                      std::back_inserter(*lifetimes));
  }
  if (!is_counted) {
    survival_.end_uncounted_window({from_ns, to_ns});
  } else {
    survival_.end_window({from_ns, to_ns}, live_blocks(), *lifetimes);
  }
  if (!lifetimes) return lifetimes.unexpected();
  return {};
}

Result<std::vector<SiteLifetimes>> LiveSource::take_lifetimes() {
  std::vector<SiteLifetimes> seen;
  auto read = for_each_entry<lt_site_key, lt_site_lifetimes>(
      maps_.site_lifetimes, [&](const lt_site_key& key, const lt_site_lifetimes& now) {
        const auto kind = static_cast<model::Kind>(key.kind);
        lt_site_lifetimes& before = lifetimes_[{{key.stack_id}, {key.image}, kind}];
        seen.push_back({{stack_at({key.stack_id}), {key.image}, kind}, since(now, before)});
        before = now;
      });
  if (!read) return read.unexpected();
  return seen;
}

LiveBlock LiveSource::live_block_of(const lt_resource& resource) const {
  LiveBlock block{.site = {stack_at({resource.stack_id}),
                           {resource.image},
                           static_cast<model::Kind>(resource.kind)},
                  .acquired_ns = resource.acquired_ns,
                  .count = 1,
                  .bytes = static_cast<double>(resource.weight)};
  if (options_.sampling_base == 0 || resource.step >= LT_SAMPLING_STEPS) return block;
  const std::uint64_t interval = options_.sampling_base << resource.step;
  const lt_sampling_weight weight = lt_weigh_sample(resource.weight, interval);
  const double unit = static_cast<double>(interval);
  block.count = static_cast<double>(weight.count) / LT_COUNT_UNIT;
  block.bytes = static_cast<double>(weight.bytes);
  block.count_variance = static_cast<double>(weight.count_variance);
  block.bytes_variance =
      static_cast<double>(weight.bytes_variance) * unit * unit / (1U << LT_VARIANCE_SHIFT);
  return block;
}

LiveWalk LiveSource::live_blocks() const {
  return [this](const std::function<void(const LiveBlock&)>& visit) {
    live_.each([&](std::uint64_t, const lt_resource& resource) {
      if (!LT_KIND_IS_LASTING(resource.kind)) visit(live_block_of(resource));
    });
    if (handlers_.sessions == nullptr) return;
    handlers_.sessions->each_open([&](LiveBlock block) {
      block.acquired_ns += options_.began_ns;
      visit(block);
    });
  };
}

// Who counts a site: events tell of what sessions hold, the kernel's tables of the rest.
model::Counters LiveSource::counters_of(const model::SiteKey& site) const {
  const bool is_held = model::is_postgres(site.kind) && site.kind != model::Kind::pg_connection &&
                       site.kind != model::Kind::pg_result && site.kind != model::Kind::pg_buffer;
  if (is_held && handlers_.sessions != nullptr) return handlers_.sessions->counters(site);
  return totals_.total(site);
}

// As of the newest window's end: what was acquired since is no part of the estimate, and what was
// released since is not in the table any more.
void LiveSource::add_unseen(std::vector<model::SiteCounters>& sites) {
  if (!survival_.has_windows()) return;
  survival_.estimate(window_ended_ns_, window_ended_ns_, live_blocks());
  std::unordered_map<model::SiteKey, std::size_t> place;
  for (std::size_t i = 0; i < sites.size(); ++i) place[sites[i].site] = i;
  survival_.each_site([&](const model::SiteKey& key) {
    const UnseenEstimate unseen = survival_.unseen(key);
    const model::Estimate now{.count_variance = unseen.count_variance,
                              .bytes_variance = unseen.bytes_variance,
                              .unseen_count = rounded(unseen.count),
                              .unseen_bytes = rounded(unseen.bytes)};
    const auto found = place.find(key);
    const bool is_new = std::exchange(unseen_[key], now) != now;
    if (found == place.end() && !is_new) return;
    if (found == place.end()) sites.push_back({key, counters_of(key)});
    model::Estimate& estimate =
        (found == place.end() ? sites.back() : sites[found->second]).counters.estimate;
    estimate.count_variance = std::max(0.0, estimate.count_variance + now.count_variance);
    estimate.bytes_variance = std::max(0.0, estimate.bytes_variance + now.bytes_variance);
    estimate.unseen_count = now.unseen_count;
    estimate.unseen_bytes = now.unseen_bytes;
  });
}

}  // namespace leaktrace::collect
