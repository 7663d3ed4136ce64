// SPDX-License-Identifier: Apache-2.0
#include "session_store.h"

namespace leaky_server {

namespace {
constexpr std::size_t kProfileSize = 2048;
}

std::uint64_t SessionStore::remember(const std::string& user) {
  auto session = std::make_unique<Session>();
  session->user = user;
  session->profile.assign(kProfileSize, 'p');
  const std::lock_guard guard(lock_);
  const std::uint64_t token = ++last_token_;
  sessions_.emplace(token, std::move(session));
  return token;
}

bool SessionStore::forget(std::uint64_t token) {
  const std::lock_guard guard(lock_);
  return sessions_.erase(token) == 1;
}

std::size_t SessionStore::size() const {
  const std::lock_guard guard(lock_);
  return sessions_.size();
}

}  // namespace leaky_server
