// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/unwind_loader.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <utility>

#include "user/base/file.h"
#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

using Clock = std::chrono::steady_clock;

/// A file that leaves no memory for its table must end neither the thread nor the trace.
Result<unwind::Table> compile(unwind::TableSource& source, int fd) {
  try {
    return source.read(fd);
  } catch (const std::exception& error) {
    return fail(std::string("cannot read its unwind information: ") + error.what());
  }
}

}  // namespace

Result<std::unique_ptr<UnwindLoader>> UnwindLoader::start(std::unique_ptr<unwind::TableCache> cache,
                                                          const Sources& sources) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail(describe_errno("cannot make an event descriptor", errno));
  std::unique_ptr<UnwindLoader> loader(new UnwindLoader(std::move(cache), std::move(event)));
  try {
    for (const std::shared_ptr<unwind::TableSource>& source : sources) {
      loader->threads_.emplace_back([self = loader.get(), source] { self->work(*source); });
    }
  } catch (const std::exception& error) {
    return fail(std::string("cannot start a thread: ") + error.what());
  }
  return loader;
}

UnwindLoader::~UnwindLoader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_to_do_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void UnwindLoader::request(UnwindRequest request) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(request));
    ++on_their_way_;
  }
  work_to_do_.notify_one();
}

void UnwindLoader::work(unwind::TableSource& source) {
  for (;;) {
    std::unique_lock lock(mutex_);
    work_to_do_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const UnwindRequest request = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    load(request, source);
  }
}

void UnwindLoader::load(const UnwindRequest& request, unwind::TableSource& source) {
  const auto start = Clock::now();
  const auto seconds = [start] {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const std::string key = request.identity.key();
  if (cache_) {
    if (auto cached = cache_->load(request.identity)) {
      auto table = std::make_shared<Result<unwind::Table>>(std::move(cached));
      hand_over({key, std::move(table), true, seconds()});
      return;
    }
  }
  const auto table = std::make_shared<Result<unwind::Table>>(compile(source, request.fd.get()));
  hand_over({key, table, false, seconds()});
  if (!cache_ || !*table) return;
  // Whoever waits for the table does not wait for the disk.
  if (auto stored = cache_->store(request.identity, **table); !stored) {
    log::debug("{}", stored.error().message());
  }
}

void UnwindLoader::hand_over(LoadedUnwindTable loaded) {
  {
    const std::lock_guard lock(mutex_);
    done_.push_back(std::move(loaded));
    --on_their_way_;
    const uint64_t one = 1;
    // Cannot fail but when the counter is full, and then it is readable.
    [[maybe_unused]] const ssize_t written = ::write(done_event_.get(), &one, sizeof one);
  }
  work_done_.notify_one();
}

std::vector<LoadedUnwindTable> UnwindLoader::take() {
  const std::lock_guard lock(mutex_);
  return take_done();
}

std::vector<LoadedUnwindTable> UnwindLoader::wait() {
  std::unique_lock lock(mutex_);
  work_done_.wait(lock, [this] { return !done_.empty() || on_their_way_ == 0; });
  return take_done();
}

std::vector<LoadedUnwindTable> UnwindLoader::take_done() {
  uint64_t times = 0;
  // Nothing to read is as good: the event has been taken before.
  [[maybe_unused]] const ssize_t taken = ::read(done_event_.get(), &times, sizeof times);
  return std::exchange(done_, {});
}

}  // namespace leaktrace::tracer
