// SPDX-License-Identifier: Apache-2.0
#include "user/collect/recording_sites.h"

namespace leaktrace::collect {

SiteNumbers::Numbered SiteNumbers::number(const model::SiteKey& key) {
  const auto next = static_cast<std::uint32_t>(last_.size());
  const auto [entry, is_new] = numbers_.try_emplace(key, next);
  if (is_new) last_.emplace_back();
  return {entry->second, is_new};
}

}  // namespace leaktrace::collect
