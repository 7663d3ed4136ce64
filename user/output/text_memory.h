// SPDX-License-Identifier: Apache-2.0
// The memory of the traced processes in words.
#pragma once

#include <string>

#include "user/analyze/report.h"

namespace leaktrace::output {

/// Lines of the head: of the processes whose memory grew most, how much it did, how much of that
/// the call sites explain, and when the memory limit is reached. Empty when nobody read it.
[[nodiscard]] std::string memory_lines(const analyze::Report& report);

}  // namespace leaktrace::output
