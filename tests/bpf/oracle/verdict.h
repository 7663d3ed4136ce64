// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "tests/bpf/oracle/copy_unwinder.h"
#include "tests/bpf/oracle/oracle_probe.h"

namespace leaktrace::tests {

/// What comparing two unwinders on one stack can give.
enum class Outcome {
  equal,            ///< every frame, and that the stack ends there
  deeper,           ///< the frames that leaktrace keeps; it said that there are more
  copy_ended,       ///< the frames up to the end of the copy
  entry_point,      ///< every frame, to an entry point that libdwfl does not know for one
  both_stop,        ///< every frame, and neither finds the end
  end_unproven,     ///< every frame, but libdwfl does not find the end
  reference_stops,  ///< the frames up to where libdwfl gives up
  frame_differs,    ///< from here on disagreements
  cut,
  ends_early,
  goes_on,
  count,
};

/// In words, for the output.
[[nodiscard]] const char* explain(Outcome outcome);

[[nodiscard]] constexpr bool is_disagreement(Outcome outcome) {
  return outcome >= Outcome::frame_differs;
}

struct Verdict {
  Outcome outcome = Outcome::equal;
  uint32_t frames = 0;  ///< compared and found equal
};

/// Holds leaktrace's frames of a moment to the reference's.
[[nodiscard]] Verdict compare(const oracle_stack& moment, const ReferenceStack& reference);

/// Verdicts of many stacks.
class Tally {
 public:
  /// `where`: the last frame that both agree on and what each says next, for what is not equal.
  void add(const Verdict& verdict, const std::string& where);
  void add(const Tally& other);

  [[nodiscard]] uint64_t stacks() const;
  [[nodiscard]] uint64_t frames() const { return frames_; }
  [[nodiscard]] uint64_t of(Outcome outcome) const;
  [[nodiscard]] uint64_t disagreements() const;

  /// One line of numbers, then a paragraph for each kind that is not plainly equal.
  [[nodiscard]] std::string report(const std::string& name) const;

 private:
  struct Kind {
    uint64_t stacks = 0;
    std::map<std::string, uint64_t> places;
  };
  std::map<Outcome, Kind> kinds_;
  uint64_t frames_ = 0;
};

}  // namespace leaktrace::tests
