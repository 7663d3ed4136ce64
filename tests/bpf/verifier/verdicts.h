// SPDX-License-Identifier: Apache-2.0
// What the kernel's verifier says of BPF programs that it accepts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "user/tracer/engine.h"

namespace leaktrace::test {

/// What the kernel allows (BPF_COMPLEXITY_LIMIT_INSNS, MAX_BPF_STACK).
inline constexpr std::uint64_t kMaxInstructions = 1'000'000;
inline constexpr unsigned kMaxStackBytes = 512;

struct StackFrame {
  std::string function;
  unsigned bytes = 0;  ///< as the verifier counts them: rounded up
};

struct Verdict {
  std::string program;
  std::uint64_t instructions = 0;  ///< that were followed
  std::vector<StackFrame> chain;   ///< of calls, the one that takes most stack; the program first

  [[nodiscard]] unsigned stack_bytes() const;
  /// "call_session 128 + stack_of 64"
  [[nodiscard]] std::string chain_text() const;
};

/// Collects them while an object is loaded.
class Verdicts {
 public:
  /// To be given to Engine::load, which it must outlive.
  [[nodiscard]] tracer::LoadWatch watch();
  [[nodiscard]] const std::vector<Verdict>& all() const { return all_; }

 private:
  std::vector<std::unique_ptr<char[]>> logs_;
  std::vector<Verdict> all_;
};

}  // namespace leaktrace::test
