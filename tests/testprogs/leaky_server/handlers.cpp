// SPDX-License-Identifier: Apache-2.0
#include "handlers.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace leaky_server {

std::string Handlers::handle(const std::string& request) {
  const std::size_t space = request.find(' ');
  const std::string verb = request.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : request.substr(space + 1);
  if (verb == "LOGIN") return handle_login(rest);
  if (verb == "LOGOUT") return handle_logout(rest);
  if (verb == "LOOKUP") return handle_lookup(rest);
  if (verb == "RENDER") return handle_render(rest);
  if (verb == "STATS") return handle_stats();
  return "ERR unknown request";
}

std::string Handlers::handle_login(const std::string& user) {
  if (user.empty()) return "ERR who?";
  return "OK " + std::to_string(sessions_.remember(user));
}

std::string Handlers::handle_logout(const std::string& token) {
  const bool known = sessions_.forget(std::strtoull(token.c_str(), nullptr, 10));
  return known ? "OK" : "ERR no such session";
}

std::string Handlers::handle_lookup(const std::string& key) {
  return "OK " + pages_.cache_lookup(key);
}

std::string Handlers::handle_render(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 16; ++i) lines.push_back(text + std::string(200, '.') + '#');
  std::uint64_t digest = 0;
  for (const std::string& line : lines) {
    for (const char c : line) digest = digest * 31 + static_cast<unsigned char>(c);
  }
  return "OK " + std::to_string(digest);
}

std::string Handlers::handle_stats() const {
  return "OK sessions=" + std::to_string(sessions_.size()) +
         " pages=" + std::to_string(pages_.size());
}

}  // namespace leaky_server
