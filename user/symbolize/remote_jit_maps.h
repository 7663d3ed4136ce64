// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "user/base/sandbox.h"
#include "user/base/worker.h"
#include "user/symbolize/jit_maps.h"

namespace leaktrace::symbolize {

/// Has perf maps read, and their names kept, by a process that can do nothing else (Sandbox): they
/// are text of the traced program's. An error says how that process ended; the next one knows
/// nothing of any map.
class RemoteJitMaps final : public JitMaps {
 public:
  /// What its sandbox is for.
  [[nodiscard]] static SandboxWork work();

  /// `bounds`: of one reading or look-up.
  explicit RemoteJitMaps(std::unique_ptr<Sandbox> sandbox,
                         const WorkBounds& bounds = {.answer_bytes = std::size_t{1} << 20});

  [[nodiscard]] Result<Read> read(Number map, int fd, std::uint64_t from,
                                  std::uint64_t to) override;
  [[nodiscard]] Result<std::optional<model::SourceFrame>> look_up(Number map,
                                                                  std::uint64_t address) override;
  void forget(Number map) override;
  [[nodiscard]] std::uint64_t generation() const override { return worker_.generation(); }

 private:
  Worker worker_;
};

}  // namespace leaktrace::symbolize
