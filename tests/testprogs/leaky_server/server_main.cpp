// SPDX-License-Identifier: Apache-2.0
//
// leaky_server [--port N] [--workers N] [--cached-pages N] [--seconds S]: a small session and page
// server on 127.0.0.1 that leaks a session at each login. Prints "listening PORT" and serves until
// SIGTERM or SIGINT, or for S seconds.
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#include "worker.h"

namespace {

struct Options {
  std::uint16_t port = 0;  ///< 0: the kernel chooses
  unsigned workers = 4;
  std::size_t cached_pages = 1000;
  long seconds = 0;  ///< 0: until a signal
};

bool parse(int argc, char** argv, Options& options) {
  static const option kLong[] = {{"port", required_argument, nullptr, 'p'},
                                 {"workers", required_argument, nullptr, 'w'},
                                 {"cached-pages", required_argument, nullptr, 'c'},
                                 {"seconds", required_argument, nullptr, 's'},
                                 {}};
  for (int c = 0; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    if (c == '?') return false;
    const long value = std::strtol(optarg, nullptr, 10);
    if (value < 0) return false;
    if (c == 'p') options.port = static_cast<std::uint16_t>(value);
    if (c == 'w') options.workers = static_cast<unsigned>(value);
    if (c == 'c') options.cached_pages = static_cast<std::size_t>(value);
    if (c == 's') options.seconds = value;
  }
  return optind == argc && options.workers > 0 && options.cached_pages > 0;
}

/// A non-blocking listening socket on loopback, and its port; -1 with errno set.
int listen_on(std::uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd, generic, size) != 0 || listen(fd, 128) != 0 ||
      getsockname(fd, generic, &size) != 0) {
    close(fd);
    return -1;
  }
  port = ntohs(address.sin_port);
  return fd;
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void wait_until_stopped(const sigset_t& set, long seconds) {
  const timespec limit{seconds, 0};
  while (sigtimedwait(&set, nullptr, seconds > 0 ? &limit : nullptr) < 0 && errno == EINTR) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: leaky_server [--port N] [--workers N] [--cached-pages N] [--seconds S]\n");
    return 2;
  }
  const sigset_t stop_set = stop_signals();
  sigprocmask(SIG_BLOCK, &stop_set, nullptr);
  const int listen_fd = listen_on(options.port);
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  if (listen_fd < 0 || stop_fd < 0) {
    std::perror("leaky_server: cannot listen");
    return 1;
  }
  leaky_server::Handlers handlers(options.cached_pages);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.workers; ++i) {
    threads.emplace_back([&] { leaky_server::Worker(listen_fd, stop_fd, handlers).run(); });
  }
  std::printf("listening %u\n", static_cast<unsigned>(options.port));
  std::fflush(stdout);
  wait_until_stopped(stop_set, options.seconds);
  if (eventfd_write(stop_fd, 1) != 0) return 1;
  for (std::thread& thread : threads) thread.join();
  close(listen_fd);
  close(stop_fd);
  return 0;
}
