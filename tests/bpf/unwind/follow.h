// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "user/base/result.h"
#include "user/tracer/unwind_tables.h"

namespace leaktrace::tests {

/// Reads a process's executable mappings into the tables.
[[nodiscard]] Result<void> follow_process(tracer::UnwindTables& tables, pid_t pid);

}  // namespace leaktrace::tests
