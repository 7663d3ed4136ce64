// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_map>

#include "handlers.h"

namespace leaky_server {

/// One thread's event loop: takes connections from the shared listening socket and answers them
/// until `stop_fd` becomes readable. Returns when it does.
class Worker {
 public:
  Worker(int listen_fd, int stop_fd, Handlers& handlers);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  void run();

 private:
  void accept_connection();
  /// Reads what has come and answers every whole line; closes at the end of the stream.
  void serve(int fd);

  int listen_fd_;
  int stop_fd_;
  int epoll_fd_;
  Handlers& handlers_;
  std::unordered_map<int, std::string> unread_;  ///< by connection
};

}  // namespace leaky_server
