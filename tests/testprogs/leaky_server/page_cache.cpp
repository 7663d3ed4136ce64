// SPDX-License-Identifier: Apache-2.0
#include "page_cache.h"

#include <cstdint>

namespace leaky_server {

namespace {
constexpr std::size_t kPageSize = 1024;
}

std::string compute_page(const std::string& key) {
  std::uint64_t state = 0xcbf29ce484222325ULL;
  for (const char c : key) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::string page;
  page.reserve(kPageSize);
  while (page.size() < kPageSize) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    page.push_back(static_cast<char>('a' + (state >> 60)));
  }
  return page;
}

std::string PageCache::cache_lookup(const std::string& key) {
  const std::lock_guard guard(lock_);
  if (const auto found = pages_.find(key); found != pages_.end()) return found->second;
  std::string page = compute_page(key);
  if (pages_.size() >= most_) pages_.erase(pages_.begin());
  pages_.emplace(key, page);
  return page;
}

std::size_t PageCache::size() const {
  const std::lock_guard guard(lock_);
  return pages_.size();
}

}  // namespace leaky_server
