// SPDX-License-Identifier: Apache-2.0
// Why BPF programs could not be loaded, in words for a person.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"
#include "user/tracer/capabilities.h"

struct bpf_object;

namespace leaktrace::tracer {

/// A program that the kernel's verifier did not accept.
struct RefusedProgram {
  std::string name;
  std::string reason;  ///< the verifier's last line about it; empty when it said nothing
};

/// Keeps what the verifier says when it refuses a program of an object that is about to be loaded.
/// The object must live as long, and be loaded once. A program that is accepted costs nothing: the
/// kernel is asked for words only when it has refused one.
class VerifierLogs {
 public:
  explicit VerifierLogs(bpf_object* object);

  /// The program that was refused, after the object could not be loaded. Nothing when it failed for
  /// another reason: no privileges, no memory for a map.
  [[nodiscard]] std::optional<RefusedProgram> refused() const;

 private:
  bpf_object* object_;
  std::vector<std::unique_ptr<char[]>> buffers_;
};

/// The last line of a verifier's log that is neither statistics nor a dump of instructions.
[[nodiscard]] std::string refusal_reason(std::string_view log);

/// Why an object could not be loaded: `error` is libbpf's (-EPERM …), `own` what this process may
/// do, nothing when that is not known.
[[nodiscard]] Unexpected load_error(int error, const std::optional<RefusedProgram>& refused,
                                    const std::optional<Capabilities>& own);

}  // namespace leaktrace::tracer
