// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "user/base/result.h"
#include "user/model/trace.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::app {

/// A recording that was read to its end.
struct ReplayedTrace {
  model::Trace trace;
  bool cut_off = false;  ///< the recording ends in the middle
};

/// Reads a recording and makes its files known to the symbolizer, which must know no other trace.
/// What is missing or unknown in the recording is said as a warning; one that cannot be read at all
/// is an error that names the file.
[[nodiscard]] Result<ReplayedTrace> replay_recording(const std::string& path,
                                                     symbolize::Symbolizer& symbolizer);

}  // namespace leaktrace::app
