// SPDX-License-Identifier: Apache-2.0
// Which instructions the running kernel emulates when there is a probe on them.
#pragma once

#include <string>

#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

struct SiteTrial {
  ClassSet emulated;
  ClassSet tried;       ///< a class that was not tried is taken for single-stepped
  std::string failure;  ///< why nothing could be tried; `emulated` is what every kernel does then
};

/// What every kernel that has probes emulates on this machine.
[[nodiscard]] ClassSet always_emulated();

/// The answers of the running kernel: tried once, at the first call, and kept. Takes some
/// milliseconds, and needs the privileges to attach probes.
///
/// Each class has a function in leaktrace, with a probe on the instruction. A child calls it and
/// looks at its own mappings: the kernel gives a process a page for instructions to be executed out
/// of line, "[uprobes]", when the first has to be (kernel/events/uprobes.c: pre_ssout), and a child
/// begins without (the page is VM_DONTCOPY).
[[nodiscard]] const SiteTrial& site_trial();

}  // namespace leaktrace::tracer
