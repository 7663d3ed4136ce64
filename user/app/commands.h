// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/app/options.h"
#include "user/base/result.h"

namespace leaktrace::app {

/// Each runs one command and returns the status to exit with; an error is for the terminal.
[[nodiscard]] Result<int> run_command(const TraceCommand& command);
[[nodiscard]] Result<int> run_command(const RecordCommand& command);
[[nodiscard]] Result<int> run_command(const ReportCommand& command);
[[nodiscard]] Result<int> run_command(const DiffCommand& command);
[[nodiscard]] Result<int> run_command(const DoctorCommand& command);

}  // namespace leaktrace::app
