// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The kinds of stack that unwind_subject stands on.
enum class Scenario : uint64_t {
  function = 1,
  too_deep,
  sort,
  qsort,
  lambda,
  exception,
  small_frames,
  large_frames,
  huge_frames,
  moving_stack,
  realigned,
  signal,
  fault,
  fault_on_other_stack,
  fault_in_register_frame,
  thread,
  coroutine,
  once,
  hijacked,
  generated_code,
};
