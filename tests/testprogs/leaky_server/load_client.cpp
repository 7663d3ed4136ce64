// SPDX-License-Identifier: Apache-2.0
//
// load_client --port N [--rate N] [--seconds S] [--login-percent P] [--keys N]: sends RATE requests
// a second to leaky_server on 127.0.0.1 and checks each answer. Prints one line with the numbers.
// Exit status 1 when an answer was wrong.
#include <arpa/inet.h>
#include <getopt.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "page_cache.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint16_t port = 0;
  unsigned long rate = 500;
  unsigned long seconds = 10;
  unsigned long login_percent = 30;
  unsigned long keys = 500;
};

bool parse(int argc, char** argv, Options& options) {
  static const option kLong[] = {{"port", required_argument, nullptr, 'p'},
                                 {"rate", required_argument, nullptr, 'r'},
                                 {"seconds", required_argument, nullptr, 's'},
                                 {"login-percent", required_argument, nullptr, 'l'},
                                 {"keys", required_argument, nullptr, 'k'},
                                 {}};
  for (int c = 0; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    if (c == '?') return false;
    const unsigned long value = std::strtoul(optarg, nullptr, 10);
    if (c == 'p') options.port = static_cast<std::uint16_t>(value);
    if (c == 'r') options.rate = value;
    if (c == 's') options.seconds = value;
    if (c == 'l') options.login_percent = value;
    if (c == 'k') options.keys = value;
  }
  return optind == argc && options.port != 0 && options.rate > 0 && options.keys > 0;
}

class Connection {
 public:
  explicit Connection(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  [[nodiscard]] bool open() const { return open_; }

  /// The answer's line; empty when the server is gone.
  std::string ask(const std::string& request) {
    const std::string line = request + '\n';
    if (send(fd_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
      return {};
    }
    std::size_t end = 0;
    while ((end = unread_.find('\n')) == std::string::npos) {
      char buffer[4096];
      const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
      if (size <= 0) return {};
      unread_.append(buffer, static_cast<std::size_t>(size));
    }
    std::string answer = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    return answer;
  }

 private:
  int fd_;
  bool open_ = false;
  std::string unread_;
};

struct Totals {
  unsigned long requests = 0;
  unsigned long logins = 0;
  unsigned long wrong = 0;
  std::vector<double> microseconds;
};

/// One request, of a kind that its number decides, so that every run asks the same.
bool ask_one(Connection& server, const Options& options, unsigned long number, Totals& totals) {
  const unsigned long dice = number * 2654435761UL % 100;
  if (dice < options.login_percent) {
    ++totals.logins;
    return server.ask("LOGIN user" + std::to_string(number % 50)).starts_with("OK ");
  }
  if (dice < options.login_percent + (100 - options.login_percent) / 2) {
    const std::string key = "key" + std::to_string(number % options.keys);
    return server.ask("LOOKUP " + key) == "OK " + leaky_server::compute_page(key);
  }
  return server.ask("RENDER text" + std::to_string(number)).starts_with("OK ");
}

Totals run(Connection& server, const Options& options) {
  Totals totals;
  const unsigned long all = options.rate * options.seconds;
  const auto begin = Clock::now();
  for (unsigned long i = 0; i < all; ++i) {
    std::this_thread::sleep_until(begin + std::chrono::nanoseconds(1'000'000'000UL / options.rate) *
                                              static_cast<long>(i));
    const auto asked = Clock::now();
    if (!ask_one(server, options, i, totals)) ++totals.wrong;
    totals.microseconds.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - asked).count());
    ++totals.requests;
  }
  return totals;
}

double percentile(std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: load_client --port N [--rate N] [--seconds S] [--login-percent P] "
                 "[--keys N]\n");
    return 2;
  }
  Connection server(options.port);
  if (!server.open()) {
    std::perror("load_client: cannot connect");
    return 1;
  }
  Totals totals = run(server, options);
  std::sort(totals.microseconds.begin(), totals.microseconds.end());
  std::printf("requests %lu logins %lu wrong %lu p50_us %.0f p99_us %.0f\n", totals.requests,
              totals.logins, totals.wrong, percentile(totals.microseconds, 0.5),
              percentile(totals.microseconds, 0.99));
  return totals.wrong == 0 ? 0 : 1;
}
