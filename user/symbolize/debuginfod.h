// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::symbolize {

/// Fetches debug files by build id from the servers that DEBUGINFOD_URLS names, in a thread of its
/// own, one at a time, through libdebuginfod (loaded when it is asked for; it keeps a cache of its
/// own on disk). What a server was asked once it is not asked again.
class Debuginfod {
 public:
  /// An error when the library is not installed or the user names no server.
  [[nodiscard]] static Result<std::unique_ptr<Debuginfod>> create();
  /// Breaks off what is being fetched; returns when the library has noticed.
  ~Debuginfod();
  Debuginfod(const Debuginfod&) = delete;
  Debuginfod& operator=(const Debuginfod&) = delete;

  enum class State { pending, here, failed };
  struct Answer {
    State state = State::pending;
    UniqueFd fd;      ///< here: the file
    std::string why;  ///< failed
  };
  /// The debug file of this build id (lower-case hex). The first call asks for it; none waits.
  [[nodiscard]] Answer fetch(const std::string& build_id);

  struct Progress {
    std::size_t done = 0;  ///< files, found or not
    std::size_t asked = 0;
    std::uint64_t bytes = 0;  ///< received so far
  };
  [[nodiscard]] Progress progress() const;

  /// Waits until nothing is pending, `limit` is over or `go_on`, which is called several times a
  /// second, says no. True in the first case.
  bool wait(std::chrono::seconds limit, const std::function<bool(const Progress&)>& go_on);

 private:
  struct Work;
  explicit Debuginfod(std::unique_ptr<Work> work);
  std::unique_ptr<Work> work_;
};

/// Debuginfod::fetch(), wherever that is.
using DebugFileFetcher = std::function<Debuginfod::Answer(const std::string& build_id)>;

}  // namespace leaktrace::symbolize
