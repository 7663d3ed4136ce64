// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "user/base/result.h"

namespace leaktrace::app {

/// May this process trace? The error names what is missing and the command that grants it.
[[nodiscard]] Result<void> check_privileges();

}  // namespace leaktrace::app
