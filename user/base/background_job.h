// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "user/base/result.h"

namespace leaktrace {

/// Does one job at a time, by a thread of its own, so that who gives it never waits for what the
/// job waits for: a pipe that nobody reads, say.
class BackgroundJob {
 public:
  using Job = std::function<Result<void>()>;

  BackgroundJob();
  /// Waits for the job that was begun.
  ~BackgroundJob();
  BackgroundJob(const BackgroundJob&) = delete;
  BackgroundJob& operator=(const BackgroundJob&) = delete;

  /// False, and nothing is done, where the one before is not done yet.
  [[nodiscard]] bool begin(Job job);
  [[nodiscard]] bool is_busy() const;
  /// False: it is not done after that time.
  bool wait_for(std::chrono::milliseconds most) const;
  void wait() const;
  /// How those ended that are done: the first error since this was asked last.
  [[nodiscard]] Result<void> take_outcome();

 private:
  void work(const std::stop_token& stop);

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  Job job_;  ///< empty: there is none
  Result<void> outcome_;
  std::jthread thread_;  ///< last: it uses the others
};

}  // namespace leaktrace
