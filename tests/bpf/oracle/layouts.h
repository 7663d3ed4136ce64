// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/bpf/oracle/copy_unwinder.h"

namespace leaktrace::tests {

/// The mappings of code of processes over time, so that a stack is unwound by those that were
/// there when it was taken. note() and at() may be called by two threads.
class Layouts {
 public:
  /// Reads the mappings of a process, which stands still, as they are now.
  void note(pid_t pid);

  /// The unwinder for a process at a time (CLOCK_MONOTONIC, nanoseconds); null when nothing was
  /// noted of it. Stays until the next call. Processes of one layout share one.
  [[nodiscard]] CopyUnwinder* at(pid_t pid, uint64_t time);

 private:
  using Text = std::shared_ptr<const std::string>;

  /// The text that held at a time; null when there is none.
  [[nodiscard]] Text text_at(pid_t pid, uint64_t time);

  std::mutex mutex_;  ///< of history_
  std::map<pid_t, std::map<uint64_t, Text>> history_;
  std::map<std::string, std::unique_ptr<CopyUnwinder>> unwinders_;
};

}  // namespace leaktrace::tests
