// SPDX-License-Identifier: Apache-2.0
// Messages between two processes of leaktrace, over a stream socket of the Unix domain. One side
// may be in the hands of a file that it reads: nothing that arrives is believed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace {

/// Two ends, close on exec.
struct SocketPair {
  UniqueFd here;
  UniqueFd there;
};
[[nodiscard]] Result<SocketPair> make_socket_pair();

struct Message {
  std::uint32_t type = 0;
  std::string body;
  std::vector<UniqueFd> fds;
};

/// Most descriptors in one message.
inline constexpr std::size_t kMostMessageFds = 2;

/// Sends copies of `fds` along. Waits while the other side does not read; no SIGPIPE.
[[nodiscard]] Result<void> send_message(int socket, std::uint32_t type, std::string_view body,
                                        std::span<const int> fds = {});

/// What a message that arrives may be, and how long is waited for it.
struct ReceiveLimits {
  std::size_t most_bytes = std::size_t{64} << 20;  ///< of the body
  bool takes_fds = false;                          ///< else those that come are closed
  std::function<bool()> go_on;  ///< asked some times a second until all has come; empty: waits
};

/// The next message; nothing when the other side has gone or go_on() says no. An error for what is
/// no message.
[[nodiscard]] Result<std::optional<Message>> receive_message(int socket,
                                                             const ReceiveLimits& limits = {});

/// Puts values one behind the other.
class Packer {
 public:
  void number(std::uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }
  void append(const Packer& other) { bytes_ += other.bytes_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Takes them out again. What is not there is 0 and empty, and ok() says so in the end.
class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] std::uint64_t number();
  [[nodiscard]] std::string text();
  /// A number of things that take at least a byte each.
  [[nodiscard]] std::size_t count();
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace leaktrace
