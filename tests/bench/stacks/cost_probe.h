// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/stacks/stack_cost.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/tracer/procfs.h"
#include "user/tracer/unwind_tables.h"

struct bpf_link;
struct bpf_program;
struct stack_cost_bpf;
struct counted_stack_bpf;

namespace leaktrace::bench {

/// What one of the programs did, all in all.
struct Cost {
  uint64_t runs = 0;
  uint64_t nanoseconds = 0;  ///< inside BPF (bpf_stats)
  cost_found found{};

  Cost& operator+=(const Cost& other);
  Cost operator-(const Cost& before) const;
  [[nodiscard]] double per_run() const;
  [[nodiscard]] double frames() const;         ///< a stack
  [[nodiscard]] double python_frames() const;  ///< a stack
};

/// The programs, loaded, with their unwind tables. While it lives the kernel counts the time of all
/// BPF programs, also of others.
class CostProbe {
 public:
  [[nodiscard]] static Result<std::unique_ptr<CostProbe>> load();
  ~CostProbe();

  /// Brings the tables up to date with the process's mappings; cheap when they are the same.
  [[nodiscard]] Result<void> follow(pid_t pid);

  /// Puts one program on a function's return in one process, in the place of what was attached.
  [[nodiscard]] Result<void> attach(cost_program program, pid_t pid, const std::string& file,
                                    const std::string& function);
  void detach();
  [[nodiscard]] Cost cost(cost_program program) const;

  /// What COST_COUNTED did on the way.
  [[nodiscard]] std::array<uint64_t, PARTS> parts() const;

 private:
  CostProbe() = default;
  [[nodiscard]] bpf_program* program(cost_program which) const;
  [[nodiscard]] Result<void> load_counted();
  void follow_python(pid_t pid, const tracer::Mapping& mapping);

  UniqueFd stats_;
  stack_cost_bpf* skeleton_ = nullptr;
  counted_stack_bpf* counted_ = nullptr;
  std::unique_ptr<tracer::UnwindTables> tables_;
  pid_t followed_ = -1;
  std::vector<uint64_t> mapped_;  ///< starts of the followed process's code
  bpf_link* link_ = nullptr;
};

}  // namespace leaktrace::bench
