// SPDX-License-Identifier: Apache-2.0
//
// The protocol: a line asks, a line answers.
//
//   LOGIN user     OK token        leaves a session behind (the leak)
//   LOGOUT token   OK              or ERR no such session
//   LOOKUP key     OK page         through a bounded cache
//   RENDER text    OK digest       takes memory and gives it back
//   STATS          OK sessions=N pages=N
#pragma once

#include <string>

#include "page_cache.h"
#include "session_store.h"

namespace leaky_server {

class Handlers {
 public:
  explicit Handlers(std::size_t cached_pages) : pages_(cached_pages) {}
  /// The answer to one request, without its newline.
  std::string handle(const std::string& request);

 private:
  std::string handle_login(const std::string& user);
  std::string handle_logout(const std::string& token);
  std::string handle_lookup(const std::string& key);
  std::string handle_render(const std::string& text);
  std::string handle_stats() const;

  SessionStore sessions_;
  PageCache pages_;
};

}  // namespace leaky_server
