// SPDX-License-Identifier: Apache-2.0
#include "user/collect/recording_sites.h"

#include <unordered_set>

namespace leaktrace::collect {

SiteNumbers::Numbered SiteNumbers::number(const model::SiteKey& key) {
  const auto [entry, is_new] = sites_.try_emplace(key, Entry{next_, {}});
  if (is_new) ++next_;
  return {entry->second.number, is_new};
}

void SiteNumbers::forget(std::span<const model::StackId> stacks) {
  const std::unordered_set<model::StackId> gone(stacks.begin(), stacks.end());
  std::erase_if(sites_, [&](const auto& entry) { return gone.contains(entry.first.stack); });
}

void NumberedSites::forget(std::span<const model::StackId> stacks) {
  const std::unordered_set<model::StackId> gone(stacks.begin(), stacks.end());
  std::erase_if(entries_, [&](const auto& entry) { return gone.contains(entry.second.key.stack); });
}

}  // namespace leaktrace::collect
