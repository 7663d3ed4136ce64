// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

namespace leaky_server {

/// Values by key, computed once, up to a bound: it grows while it warms up, and then stops. No
/// leak.
class PageCache {
 public:
  explicit PageCache(std::size_t most) : most_(most) {}

  /// The value of `key`, from the cache if it is there.
  std::string cache_lookup(const std::string& key);
  [[nodiscard]] std::size_t size() const;

 private:
  const std::size_t most_;
  mutable std::mutex lock_;
  std::unordered_map<std::string, std::string> pages_;
};

/// What a key's page says: the same for ever.
std::string compute_page(const std::string& key);

}  // namespace leaky_server
