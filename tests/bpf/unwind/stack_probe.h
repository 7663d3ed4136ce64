// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/bpf/unwind/unwind_probe.h"
#include "user/base/result.h"
#include "user/tracer/unwind_tables.h"

struct bpf_link;
struct bpf_program;
struct ring_buffer;
struct unwind_probe_bpf;

namespace leaktrace::tests {

/// Which of the test's programs a function's return runs.
enum class Program { take_stack, take_stack_inline, hijack, kernel_stack };

struct ProgramCost {
  uint64_t runs = 0;
  uint64_t nanoseconds = 0;
  uint32_t verified_instructions = 0;
};

/// The test's BPF object, loaded, with its unwind tables.
class StackProbe {
 public:
  [[nodiscard]] static Result<std::unique_ptr<StackProbe>> load();
  ~StackProbe();

  /// Puts `program` on the return of a function, in one process.
  [[nodiscard]] Result<void> attach(Program program, pid_t pid, const std::string& file,
                                    const std::string& function);
  void detach_all();

  /// Reads the process's executable mappings into the tables.
  [[nodiscard]] Result<void> follow(pid_t pid);

  void emit(emit_which which);
  /// The stacks since the last call.
  [[nodiscard]] std::vector<stack_event> take();
  [[nodiscard]] uint64_t ended(lt_stack_flags reason) const;
  [[nodiscard]] uint64_t frames() const;
  [[nodiscard]] uint64_t lost() const;
  [[nodiscard]] ProgramCost cost(Program program) const;
  [[nodiscard]] tracer::UnwindTables& tables() { return *tables_; }

 private:
  StackProbe() = default;
  [[nodiscard]] bpf_program* program(Program which) const;

  unwind_probe_bpf* skeleton_ = nullptr;
  ring_buffer* ring_ = nullptr;
  std::unique_ptr<tracer::UnwindTables> tables_;
  std::vector<bpf_link*> links_;
  std::vector<stack_event> events_;
};

}  // namespace leaktrace::tests
