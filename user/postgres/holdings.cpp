// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/holdings.h"

#include <utility>

namespace leaktrace::postgres {

Site* Holdings::site_for(const model::SiteKey& key) {
  if (auto found = sites_.find(key); found != sites_.end()) return &found->second;
  return sites_.size() >= options_.max_sites ? nullptr : &sites_[key];
}

std::uint64_t Holdings::acquire(Holder& holder, Open resource) {
  Site* site = open_ >= options_.max_resources ? nullptr : site_for(resource.key);
  if (site == nullptr) {
    ++losses_->table_full;
    holder.table_full = true;
    return 0;
  }
  ++open_;
  const std::uint64_t number = ++newest_;
  resource.site = site;
  resource.holder = &holder;
  const Open& kept = holder.open.emplace(number, std::move(resource)).first->second;
  site->open.emplace(number, &kept);
  ++site->holders[&holder];
  ++holder.by_kind[kept.key.kind];
  ++site->counters.acquired_count;
  site->counters.since_ns = site->open.begin()->second->since_ns;
  site->counters_changed = site->detail_changed = true;
  return number;
}

void Holdings::release(Holder& holder, std::uint64_t number, std::uint64_t at_ns, bool seen) {
  const auto found = holder.open.find(number);
  if (found == holder.open.end()) return;
  Open& resource = found->second;
  if (seen && options_.on_release) options_.on_release(resource.key, resource.since_ns, at_ns);
  Site& site = *resource.site;
  site.open.erase(number);
  if (auto holds = site.holders.find(&holder); --holds->second == 0) site.holders.erase(holds);
  if (auto of_kind = holder.by_kind.find(resource.key.kind); --of_kind->second == 0) {
    holder.by_kind.erase(of_kind);
  }
  ++site.counters.released_count;
  site.counters.since_ns = site.open.empty() ? at_ns : site.open.begin()->second->since_ns;
  site.counters_changed = site.detail_changed = true;
  if (site.open.empty()) {
    site.last_sql = std::move(resource.sql);
    site.last_words = holder.words;
    site.last_state = resource.state;
  }
  holder.open.erase(found);
  --open_;
}

void Holdings::drop_all(Holder& holder) {
  for (const auto& [number, resource] : holder.open) {
    resource.site->open.erase(number);
    resource.site->holders.erase(&holder);
  }
  open_ -= holder.open.size();
  holder.open.clear();
  holder.by_kind.clear();
}

void Holdings::forget_image(model::ImageId image) {
  const auto is_of_image = [image](const auto& entry) { return entry.first.image == image; };
  std::erase_if(sites_, is_of_image);
  std::erase_if(examples_, is_of_image);
}

void Holdings::note_example(const model::SiteKey& site, const SharedText& sql,
                            const SharedText& words) {
  if (examples_.size() >= options_.max_sites) {
    ++losses_->table_full;
    return;
  }
  examples_.try_emplace(site, Example{sql, words, true});
}

model::Counters Holdings::counters(const model::SiteKey& site) const {
  const auto found = sites_.find(site);
  return found == sites_.end() ? model::Counters{} : found->second.counters;
}

std::vector<model::SiteCounters> Holdings::take_changed_sites() {
  std::vector<model::SiteCounters> changed;
  for (auto& [key, site] : sites_) {
    if (std::exchange(site.counters_changed, false)) changed.push_back({key, site.counters});
  }
  return changed;
}

void Holdings::add_stacks_in_use(std::unordered_set<model::StackId>& stacks) const {
  for (const auto& [key, site] : sites_) {
    if (!site.open.empty() || site.counters_changed || site.detail_changed) {
      stacks.insert(key.stack);
    }
  }
  for (const auto& [key, example] : examples_) {
    if (example.changed) stacks.insert(key.stack);
  }
}

void Holdings::forget(std::span<const model::StackId> stacks) {
  const std::unordered_set<model::StackId> gone(stacks.begin(), stacks.end());
  std::erase_if(sites_, [&gone](const auto& entry) {
    return entry.second.open.empty() && gone.contains(entry.first.stack);
  });
  std::erase_if(examples_, [&gone](const auto& entry) { return gone.contains(entry.first.stack); });
}

}  // namespace leaktrace::postgres
