// SPDX-License-Identifier: Apache-2.0
// Tries on the running kernel what a probe on a function's return does to a process in which that
// function is left, or looked at, in another way (hazard_code.h). Each trial sacrifices a child.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "user/tracer/feature_programs.h"
#include "user/tracer/hazard_code.h"

namespace leaktrace::tracer {

/// The probes of these trials: attached at the first that needs them, in all processes that run
/// this executable, because the children are to hit them.
class HazardTrial {
 public:
  /// Yes: the child met the hazard as without a probe, and the probe saw it return. Unknown: it
  /// could not be tried, or this machine does not have what the hazard takes. Takes some
  /// milliseconds; a child that does not end is killed after two seconds.
  [[nodiscard]] Trial run(TrialContext& context, ReturnProbe probe, Hazard hazard);

  /// Has them detached without waiting for it.
  void detach_later(TrialContext& context);

 private:
  struct Probe {
    Skeleton skeleton;
    Link link;
  };
  [[nodiscard]] static Trial attach(TrialContext& context, ReturnProbe probe, Probe& attached);

  std::array<Probe, 2> probes_;  ///< by ReturnProbe
};

/// Why no program may have the kernel's return trampoline here, whatever the function; empty: it
/// may. Nobody knows which program will set up a seccomp filter, so that is asked of the kernel and
/// not of the target. Tried at the first call, in some milliseconds, and kept.
[[nodiscard]] const std::string& objection_to_trampolines();

/// The same of probes on functions' own return instructions.
[[nodiscard]] const std::string& objection_to_own_returns();

}  // namespace leaktrace::tracer
