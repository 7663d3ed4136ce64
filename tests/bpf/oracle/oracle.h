// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "tests/bpf/oracle/verdict.h"
#include "tests/bpf/oracle/workload.h"
#include "user/base/result.h"

namespace leaktrace::tests {

/// Where a run ends; what comes first counts.
struct Limits {
  uint64_t stacks = 10000;
  std::chrono::seconds time{120};
};

struct OracleResult {
  Tally tally;
  uint64_t calls = 0;           ///< of the functions
  uint64_t ring_full = 0;       ///< moments that found no room, so were not compared
  uint64_t foreign_probes = 0;  ///< not compared, for another tracer's return probes are in them
  double seconds = 0;
};

/// Sees each moment that is compared, with the unwinder that knows its addresses.
using Observer = std::function<void(const oracle_stack&, const Verdict&, const CopyUnwinder&)>;

/// Runs a workload, takes stacks at random calls, and compares the BPF unwinder with libdwfl on
/// each. The workload is ended (SIGTERM, then SIGKILL) when the limits are reached.
[[nodiscard]] Result<OracleResult> run_oracle(const Workload& workload, const Limits& limits,
                                              const Observer& observe = {});

}  // namespace leaktrace::tests
