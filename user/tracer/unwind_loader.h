// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/unwind/table.h"
#include "user/unwind/table_cache.h"
#include "user/unwind/table_source.h"

namespace leaktrace::tracer {

/// A file whose unwind table is wanted.
struct UnwindRequest {
  unwind::FileIdentity identity;
  UniqueFd fd;
};

/// A request's answer.
struct LoadedUnwindTable {
  std::string key;  ///< FileIdentity::key()
  std::shared_ptr<const Result<unwind::Table>> table;
  bool from_cache = false;
  double seconds = 0;  ///< that reading or compiling it took
};

/// Reads unwind tables on threads of its own, from the cache on disk or from the files themselves,
/// and puts what it compiled into the cache.
///
///     request(file) ─▶ queue ─▶ threads: cache, else read_table() ─▶ poll_fd() is readable ─▶
///     take()
///
/// A large library takes a second to compile; the kernel's events must be read meanwhile. The
/// functions are called from one thread.
class UnwindLoader {
 public:
  using Sources = std::vector<std::shared_ptr<unwind::TableSource>>;

  /// `cache` may be null: then nothing is kept. A thread for each of the sources, one at least.
  [[nodiscard]] static Result<std::unique_ptr<UnwindLoader>> start(
      std::unique_ptr<unwind::TableCache> cache, const Sources& sources);
  /// Waits for the tables that are being read; what is only queued is dropped.
  ~UnwindLoader();
  UnwindLoader(const UnwindLoader&) = delete;
  UnwindLoader& operator=(const UnwindLoader&) = delete;

  void request(UnwindRequest request);

  /// What is done. Never waits.
  [[nodiscard]] std::vector<LoadedUnwindTable> take();
  /// The same, waiting until there is something; empty when nothing is on its way.
  [[nodiscard]] std::vector<LoadedUnwindTable> wait();

  /// Readable when take() has something; for poll(2).
  [[nodiscard]] int poll_fd() const { return done_event_.get(); }

 private:
  UnwindLoader(std::unique_ptr<unwind::TableCache> cache, UniqueFd done_event)
      : cache_(std::move(cache)), done_event_(std::move(done_event)) {}
  void work(unwind::TableSource& source);
  void load(const UnwindRequest& request, unwind::TableSource& source);
  void hand_over(LoadedUnwindTable loaded);
  [[nodiscard]] std::vector<LoadedUnwindTable> take_done();

  std::unique_ptr<unwind::TableCache> cache_;
  UniqueFd done_event_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;  ///< of all below
  std::condition_variable work_to_do_;
  std::condition_variable work_done_;
  std::deque<UnwindRequest> queue_;
  std::vector<LoadedUnwindTable> done_;
  size_t on_their_way_ = 0;  ///< requests that are not in done_ yet
  bool stopping_ = false;
};

}  // namespace leaktrace::tracer
