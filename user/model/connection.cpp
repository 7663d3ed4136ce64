// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "user/model/record.h"

namespace leaktrace::model {

std::string connection_words(const Connection& connection) {
  std::string words;
  if (!connection.user.empty()) words += connection.user + "@";
  words += connection.host.empty() && !words.empty() ? "localhost" : connection.host;
  if (!connection.port.empty() && !words.empty()) words += ":" + connection.port;
  if (!connection.database.empty()) words += "/" + connection.database;
  return words.empty() ? fmt::format("connection {:#x}", connection.handle) : words;
}

}  // namespace leaktrace::model
