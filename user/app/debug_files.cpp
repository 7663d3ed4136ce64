// SPDX-License-Identifier: Apache-2.0
#include "user/app/debug_files.h"

#include <fmt/core.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "user/base/file.h"
#include "user/base/log.h"

namespace leaktrace::app {
namespace {

constexpr std::chrono::seconds kLongestWait{120};

/// Holds SIGINT and SIGTERM back, whether they already were or not, and takes those that came.
class HeldSignals {
 public:
  HeldSignals() {
    ::sigemptyset(&held_);
    ::sigaddset(&held_, SIGINT);
    ::sigaddset(&held_, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &held_, &before_);
  }
  ~HeldSignals() {
    const timespec now{};
    while (::sigtimedwait(&held_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  [[nodiscard]] static bool came() {
    sigset_t pending;
    ::sigpending(&pending);
    return ::sigismember(&pending, SIGINT) == 1 || ::sigismember(&pending, SIGTERM) == 1;
  }

 private:
  sigset_t held_{};
  sigset_t before_{};
};

void show(const std::string& text) {
  // In place of the line before; what does not get through is only this.
  (void)write_all(STDERR_FILENO, "\r\x1b[K" + text);
}

}  // namespace

Result<void> use_debuginfod(symbolize::Symbolizer& symbolizer) {
  auto debuginfod = symbolize::Debuginfod::create();
  if (!debuginfod) return debuginfod.unexpected();
  symbolizer.use(std::move(*debuginfod));
  return {};
}

bool await_debug_files(symbolize::Symbolizer& symbolizer) {
  symbolize::Debuginfod* debuginfod = symbolizer.debuginfod();
  if (debuginfod == nullptr || debuginfod->progress().asked == 0) return false;
  const HeldSignals signals;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const bool all = debuginfod->wait(kLongestWait, [&](const auto& progress) {
    if (terminal) {
      show(fmt::format("debuginfod: {} of {} files, {} MB (Ctrl-C: report without them)",
                       progress.done, progress.asked, progress.bytes / 1'000'000));
    }
    return !HeldSignals::came();
  });
  if (terminal) show("");
  const auto progress = debuginfod->progress();
  if (!all) {
    log::warning("{} of {} debug files did not come in time; names are as the rest has them",
                 progress.asked - progress.done, progress.asked);
  }
  return true;
}

}  // namespace leaktrace::app
