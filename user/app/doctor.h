// SPDX-License-Identifier: Apache-2.0
// What `leaktrace doctor` prints: the checks of the kernel and of this process's privileges.
#pragma once

#include <string>

#include "user/base/result.h"
#include "user/tracer/capabilities.h"
#include "user/tracer/features.h"

namespace leaktrace::app {

/// The running kernel, as uname says.
struct Kernel {
  std::string release;
  std::string machine;
};

/// Everything that doctor reports.
struct Diagnosis {
  Kernel kernel;
  tracer::Capabilities capabilities;
  tracer::Features features;

  /// True when `leaktrace attach` can work here: doctor then exits with 0, else with 1.
  [[nodiscard]] bool can_trace() const { return features.can_trace(); }
};

/// Tries everything; takes a fraction of a second. Fails only when /proc cannot be read.
[[nodiscard]] Result<Diagnosis> diagnose();

/// The diagnosis for a person, ending in a newline: the verdict first, then what is wrong and what
/// to do, then every check.
[[nodiscard]] std::string doctor_text(const Diagnosis& diagnosis);

/// The diagnosis as one JSON document, ending in a newline. Fields and ids may be added, never
/// renamed.
[[nodiscard]] std::string doctor_json(const Diagnosis& diagnosis);

}  // namespace leaktrace::app
