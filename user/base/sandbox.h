// SPDX-License-Identifier: Apache-2.0
// Reading files whose content a traced process chose, in a process that may do nothing else.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/base/message.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace {

/// A kind of work that is done in a process of its own.
struct SandboxWork {
  std::string name;  ///< of the process, as ps shows it: 15 bytes at most
  /// What it does with its end of the socket, until the other end is closed. May throw.
  std::function<void(int socket)> body;
};

/// A process without privileges that does what it is told over a socket, and is started anew when
/// it has ended or was killed:
///
///   leaktrace ──fork, once, early──▶ keeper ──fork, each time──▶ worker
///       └──────────────────── socket ──────────────────────────────┘
///
/// The keeper is forked when leaktrace is small, has no thread, and has opened nothing: so is each
/// worker. Both have no capability and cannot get one. A worker can use its memory, which is
/// bounded, descriptors that it is sent, and its socket; it can open nothing, start nothing, signal
/// nobody. They end when leaktrace does, however that ends.
///
/// Sandboxes that are made together share a keeper. Each may be used by a thread of its own.
class Sandbox {
 public:
  /// Forks the keeper, and gives a sandbox for each kind of work, in their order. The caller must
  /// be the only thread.
  [[nodiscard]] static Result<std::vector<std::unique_ptr<Sandbox>>> create(
      const std::vector<SandboxWork>& works);
  /// The same for one kind.
  [[nodiscard]] static Result<std::unique_ptr<Sandbox>> create(const SandboxWork& work);
  /// Ends the worker; the last one of those made together ends the keeper.
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  /// The end of the socket to a worker, which is started when there is none; -1 when the keeper is
  /// gone. To send on it waits for a bounded time: a worker need not read.
  [[nodiscard]] int socket();
  [[nodiscard]] bool is_running() const { return static_cast<bool>(socket_); }
  /// CPU time of the worker, in seconds; nothing when it has ended.
  [[nodiscard]] std::optional<double> cpu_seconds() const;

  /// Ends the worker: kills it, unless it ends by itself, which it may take a moment for where
  /// `is_dying`. How it ended, in words ("crashed (SIGSEGV)").
  std::string end(bool is_dying);

 private:
  class Keeper;
  Sandbox(std::shared_ptr<Keeper> keeper, std::size_t kind)
      : keeper_(std::move(keeper)), kind_(kind) {}

  std::shared_ptr<Keeper> keeper_;
  std::size_t kind_;  ///< of work
  UniqueFd socket_;
  pid_t worker_ = -1;
};

/// Most memory that a worker takes for itself, in bytes; files that it maps do not count.
[[nodiscard]] std::uint64_t sandbox_memory_limit();

/// Allows this process, for good, no more than a worker of a Sandbox needs: see there. Opening
/// "/proc/self/fd/N" gives a copy of that descriptor, for libraries that want a path.
[[nodiscard]] Result<void> allow_only_computing();

}  // namespace leaktrace
