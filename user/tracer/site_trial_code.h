// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

/// A function of leaktrace that executes one instruction of a class, and does nothing else.
struct TrialFunction {
  InstructionClass of_class;
  void (*call)();
  const void* instruction;  ///< where a probe goes
};

/// One for each class of this machine that is worth a trial.
[[nodiscard]] std::span<const TrialFunction> trial_functions();

}  // namespace leaktrace::tracer
