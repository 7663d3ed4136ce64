// SPDX-License-Identifier: Apache-2.0
// What `leaktrace doctor --probes LIB` prints: where the probes on a file's functions go.
#pragma once

#include <string>
#include <vector>

#include "user/base/result.h"
#include "user/tracer/hooks.h"
#include "user/tracer/site_trial.h"

namespace leaktrace::app {

struct ListedProbe {
  std::string function;
  tracer::Hook hook;
  bool needs_return = false;
};

struct ProbeListing {
  std::string path;
  std::vector<ListedProbe> probes;
  tracer::SiteTrial trial;  ///< what the running kernel emulates
};

/// The file that a library's name stands for: with a slash it is a path; else it is looked for
/// among the libraries that leaktrace has itself, in the standard folders, and last in the current
/// one.
[[nodiscard]] Result<std::string> find_library(const std::string& name);

/// Chooses the probes of a library or executable on the running kernel, as tracing would. An error
/// when there is no such file, when it is none of this machine, and when it has no function that
/// leaktrace hooks.
[[nodiscard]] Result<ProbeListing> list_probes(const std::string& name, tracer::ElfReader& reader);

/// For a person, ending in a newline.
[[nodiscard]] std::string probe_listing_text(const ProbeListing& listing);

/// One JSON document, ending in a newline. Fields may be added, never renamed.
[[nodiscard]] std::string probe_listing_json(const ProbeListing& listing);

}  // namespace leaktrace::app
