// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "user/postgres/holdings.h"
#include "user/postgres/utf8.h"

namespace leaktrace::postgres {
namespace {

constexpr std::size_t kMostNames = 10;
constexpr std::size_t kMostNameBytes = 192;  ///< 63 bytes that are no UTF-8, three for each

std::string words_or_empty(const SharedText& text) {
  return text ? *text : std::string();
}

model::SiteDetail detail_of(const model::SiteKey& key, const Site& site) {
  model::SiteDetail detail;
  detail.site = key;
  detail.connections = site.holders.size();
  if (site.open.empty()) {
    detail.sql = words_or_empty(site.last_sql);
    detail.connection = words_or_empty(site.last_words);
    detail.state = site.last_state;
    return detail;
  }
  std::size_t looked_at = 0;
  for (const auto& [number, resource] : site.open) {
    if (++looked_at > kMostNames) break;
    if (!resource->name.empty()) {
      detail.names.push_back(clipped_utf8(resource->name, kMostNameBytes));
    }
  }
  const Open& oldest = *site.open.begin()->second;
  detail.sql = words_or_empty(oldest.sql);
  detail.connection = words_or_empty(oldest.holder->words);
  detail.state = oldest.state;
  return detail;
}

}  // namespace

std::vector<model::SiteDetail> Holdings::take_changed_details() {
  std::vector<model::SiteDetail> details;
  for (auto& [key, site] : sites_) {
    if (std::exchange(site.detail_changed, false)) details.push_back(detail_of(key, site));
  }
  for (auto& [key, example] : examples_) {
    if (!std::exchange(example.changed, false)) continue;
    model::SiteDetail detail;
    detail.site = key;
    detail.sql = words_or_empty(example.sql);
    detail.connection = words_or_empty(example.words);
    details.push_back(std::move(detail));
  }
  return details;
}

}  // namespace leaktrace::postgres
