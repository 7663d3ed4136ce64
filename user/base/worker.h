// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "user/base/message.h"
#include "user/base/result.h"
#include "user/base/sandbox.h"

namespace leaktrace {

/// What one question to a worker of a Sandbox may take.
struct WorkBounds {
  double cpu_seconds = 15;
  /// By the clock: of a file on a disk that does not answer, say.
  double seconds = 90;
  std::size_t answer_bytes = std::size_t{256} << 20;
};

/// Says whether a worker that was asked something is still within the bounds.
class Patience {
 public:
  /// Counts from now.
  Patience(const Sandbox& sandbox, const WorkBounds& bounds);
  [[nodiscard]] bool lasts() const;
  /// How a worker that is not "took longer than it may (15 s of CPU time)".
  [[nodiscard]] std::string overrun() const;

 private:
  [[nodiscard]] bool lasts_by_clock() const;

  const Sandbox& sandbox_;
  WorkBounds bounds_;
  std::chrono::steady_clock::time_point began_;
  double cpu_before_;
};

/// Asks a worker of a Sandbox one question at a time. A worker that crashes, takes too much or
/// answers nonsense is ended, and the next question starts another one; after some of those none is
/// started any more.
class Worker {
 public:
  explicit Worker(std::unique_ptr<Sandbox> sandbox, const WorkBounds& bounds = {})
      : sandbox_(std::move(sandbox)), bounds_(bounds) {}

  /// The answer, without descriptors. On an error the worker has been ended, and the error says how
  /// ("crashed (SIGSEGV)").
  [[nodiscard]] Result<Message> ask(std::uint32_t type, const Packer& packer,
                                    std::span<const int> fds = {});
  /// Ends a worker whose answer makes no sense, as an error says.
  [[nodiscard]] Unexpected refuse_answer();
  [[nodiscard]] bool is_running() const { return sandbox_->is_running(); }
  /// Ends the worker, if there is one, so that what comes is read by another that has seen nothing.
  void renew();

  /// Changes with each worker that ends: the next one does not know what it was told.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  /// Are no more started?
  [[nodiscard]] bool is_given_up() const;

 private:
  [[nodiscard]] Unexpected end(std::string how);

  std::unique_ptr<Sandbox> sandbox_;
  WorkBounds bounds_;
  std::uint64_t generation_ = 0;
  unsigned ended_ = 0;  ///< before their time
};

}  // namespace leaktrace
