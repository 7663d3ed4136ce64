// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace leaky_server {

namespace {

constexpr std::size_t kLongestRequest = 64 * 1024;

void watch(int epoll_fd, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

bool send_all(int fd, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t sent = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

Worker::Worker(int listen_fd, int stop_fd, Handlers& handlers)
    : listen_fd_(listen_fd),
      stop_fd_(stop_fd),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      handlers_(handlers) {
  watch(epoll_fd_, listen_fd_, EPOLLIN | EPOLLEXCLUSIVE);
  watch(epoll_fd_, stop_fd_, EPOLLIN);
}

Worker::~Worker() {
  for (const auto& connection : unread_) close(connection.first);
  close(epoll_fd_);
}

void Worker::run() {
  std::array<epoll_event, 16> events{};
  for (;;) {
    const int ready = epoll_wait(epoll_fd_, events.data(), events.size(), -1);
    if (ready < 0 && errno != EINTR) return;
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == stop_fd_) return;
      fd == listen_fd_ ? accept_connection() : serve(fd);
    }
  }
}

void Worker::accept_connection() {
  const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;  // another worker was quicker
  unread_[fd];
  watch(epoll_fd_, fd, EPOLLIN);
}

void Worker::serve(int fd) {
  std::array<char, 4096> buffer;
  const ssize_t size = recv(fd, buffer.data(), buffer.size(), 0);
  std::string& unread = unread_[fd];
  bool open = size > 0;
  if (open) unread.append(buffer.data(), static_cast<std::size_t>(size));
  std::size_t end = 0;
  while (open && (end = unread.find('\n')) != std::string::npos) {
    const std::string answer = handlers_.handle(unread.substr(0, end));
    unread.erase(0, end + 1);
    open = send_all(fd, answer + '\n');
  }
  if (open && unread.size() < kLongestRequest) return;
  unread_.erase(fd);
  close(fd);
}

}  // namespace leaky_server
