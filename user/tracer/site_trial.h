// SPDX-License-Identifier: Apache-2.0
// Which instructions the running kernel emulates when there is a probe on them.
#pragma once

#include <cstdint>
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

/// How the probes of a trial are attached.
enum class TrialLinks : std::uint8_t {
  at_once,     ///< with one link: since 6.6
  one_by_one,  ///< as perf events: every kernel
};
/// One more trial, with links of that kind only; returns when its probes are gone. For tests.
[[nodiscard]] SiteTrial run_site_trial(TrialLinks links);

}  // namespace leaktrace::tracer
