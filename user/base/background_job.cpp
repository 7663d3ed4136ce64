// SPDX-License-Identifier: Apache-2.0
#include "user/base/background_job.h"

#include <utility>

namespace leaktrace {

BackgroundJob::BackgroundJob() : thread_([this](const std::stop_token& stop) { work(stop); }) {}

BackgroundJob::~BackgroundJob() {
  wait();
}

bool BackgroundJob::begin(Job job) {
  const std::scoped_lock lock(mutex_);
  if (job_) return false;
  job_ = std::move(job);
  changed_.notify_all();
  return true;
}

bool BackgroundJob::is_busy() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<bool>(job_);
}

bool BackgroundJob::wait_for(std::chrono::milliseconds most) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, most, [this] { return !job_; });
}

void BackgroundJob::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !job_; });
}

Result<void> BackgroundJob::take_outcome() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(outcome_, {});
}

void BackgroundJob::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return static_cast<bool>(job_); })) {
    lock.unlock();
    Result<void> outcome = job_();  // nobody changes it but this thread
    lock.lock();
    if (!outcome && outcome_) outcome_ = std::move(outcome);
    job_ = {};
    changed_.notify_all();
  }
}

}  // namespace leaktrace
