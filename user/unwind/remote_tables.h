// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "user/base/sandbox.h"
#include "user/base/worker.h"
#include "user/unwind/table_source.h"

namespace leaktrace::unwind {

/// Has tables made by a process that can do nothing else (Sandbox): call frame information is the
/// traced program's, and is read with libdw. Each file has a process of its own, so that none can
/// bend the table of another. What comes back is taken as a file of the cache is: every index in it
/// is checked (is_sound()). A wrong rule in it makes a wrong stack, and no more: what the BPF side
/// follows it to, it reads as a user's memory.
///
/// An error says how the process ended.
class RemoteTables final : public TableSource {
 public:
  /// What its sandbox is for.
  [[nodiscard]] static SandboxWork work();

  /// `bounds`: of one file. The table's maker has a bound of its own, by which it leaves the rest
  /// out and says so.
  explicit RemoteTables(std::unique_ptr<Sandbox> sandbox,
                        const WorkBounds& bounds = {.cpu_seconds = 60, .seconds = 180})
      : worker_(std::move(sandbox), bounds) {}

  [[nodiscard]] Result<Table> read(int fd) override;

 private:
  Worker worker_;
};

}  // namespace leaktrace::unwind
