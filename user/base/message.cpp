// SPDX-License-Identifier: Apache-2.0
#include "user/base/message.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "user/base/file.h"

namespace leaktrace {
namespace {

/// How often go_on() is asked.
constexpr int kAskMilliseconds = 50;

struct Header {
  std::uint32_t type;
  std::uint32_t bytes;
};

using FdSpace = std::array<char, CMSG_SPACE(kMostMessageFds * sizeof(int))>;

void attach(msghdr& message, FdSpace& space, std::span<const int> fds) {
  if (fds.empty()) return;
  message.msg_control = space.data();
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(control), fds.data(), fds.size_bytes());
}

void take(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t bytes = control->cmsg_len - CMSG_LEN(0);
    for (std::size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + at, sizeof(fd));
      fds.emplace_back(fd);
    }
  }
}

/// False when go_on() says no.
bool wait_for(int socket, const ReceiveLimits& limits) {
  for (;;) {
    pollfd readable{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, limits.go_on ? kAskMilliseconds : -1) > 0) return true;
    if (limits.go_on && !limits.go_on()) return false;
  }
}

/// Fills `into`. False when the other side is gone, or was not waited for any more.
Result<bool> receive_all(int socket, char* into, std::size_t bytes, std::vector<UniqueFd>& fds,
                         const ReceiveLimits& limits) {
  while (bytes > 0) {
    if (!wait_for(socket, limits)) return false;
    alignas(cmsghdr) FdSpace space{};
    iovec part{into, bytes};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (limits.takes_fds) {
      message.msg_control = space.data();
      message.msg_controllen = space.size();
    }
    const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0 && errno != ECONNRESET) return fail(describe_errno("cannot read a message", errno));
    if (n <= 0) return false;
    take(message, fds);
    into += n;
    bytes -= static_cast<std::size_t>(n);
    // Something may come all the time, and never end.
    if (bytes > 0 && limits.go_on && !limits.go_on()) return false;
  }
  return true;
}

}  // namespace

Result<SocketPair> make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(describe_errno("cannot make a socket", errno));
  }
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<void> send_message(int socket, std::uint32_t type, std::string_view body,
                          std::span<const int> fds) {
  Header header{.type = type, .bytes = static_cast<std::uint32_t>(body.size())};
  if (header.bytes != body.size() || fds.size() > kMostMessageFds) return fail("a message too big");
  std::array<iovec, 2> parts{
      {{&header, sizeof(header)}, {const_cast<char*>(body.data()), body.size()}}};
  alignas(cmsghdr) FdSpace space{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  attach(message, space, fds);
  for (std::size_t left = sizeof(header) + body.size(); left > 0;) {
    const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(describe_errno("cannot send a message", errno));
    left -= static_cast<std::size_t>(n);
    message.msg_control = nullptr;  // went with the first byte
    message.msg_controllen = 0;
    auto sent = static_cast<std::size_t>(n);
    for (iovec& part : parts) {
      const std::size_t of_part = std::min(sent, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + of_part;
      part.iov_len -= of_part;
      sent -= of_part;
    }
  }
  return {};
}

Result<std::optional<Message>> receive_message(int socket, const ReceiveLimits& limits) {
  Header header{};
  Message message;
  auto whole =
      receive_all(socket, reinterpret_cast<char*>(&header), sizeof(header), message.fds, limits);
  if (!whole) return whole.unexpected();
  if (!*whole) return std::optional<Message>();
  if (header.bytes > limits.most_bytes) return fail("a message of more bytes than it may have");
  message.type = header.type;
  message.body.resize(header.bytes);
  whole = receive_all(socket, message.body.data(), message.body.size(), message.fds, limits);
  if (!whole) return whole.unexpected();
  if (!*whole) return std::optional<Message>();
  return std::optional(std::move(message));
}

std::uint64_t Unpacker::number() {
  std::uint64_t value = 0;
  ok_ = ok_ && rest_.size() >= sizeof(value);
  if (!ok_) return 0;
  std::memcpy(&value, rest_.data(), sizeof(value));
  rest_.remove_prefix(sizeof(value));
  return value;
}

std::string Unpacker::text() {
  const std::size_t size = count();
  std::string value(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return value;
}

std::size_t Unpacker::count() {
  const std::uint64_t value = number();
  ok_ = ok_ && value <= rest_.size();
  return ok_ ? static_cast<std::size_t>(value) : 0;
}

}  // namespace leaktrace
