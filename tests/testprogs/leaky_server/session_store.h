// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace leaky_server {

struct Session {
  std::string user;
  std::vector<char> profile;  ///< what the pages of this user are rendered from
};

/// Sessions by token. The deliberate leak: a session is forgotten at logout only, and a user who
/// logs in again gets a new one beside the old. Clients that never log out leave one behind for
/// each login.
class SessionStore {
 public:
  /// Opens a session for `user`; its token.
  std::uint64_t remember(const std::string& user);
  /// False when there is no such session.
  bool forget(std::uint64_t token);
  [[nodiscard]] std::size_t size() const;

 private:
  mutable std::mutex lock_;
  std::uint64_t last_token_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Session>> sessions_;
};

}  // namespace leaky_server
