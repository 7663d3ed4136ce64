// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace::symbolize {

/// Opens the regular file `path` for reading; `root` is the folder that it is absolute to ("" or
/// "/proc/PID/root"), and symbolic links stay within it. Anything but a regular file is an error
/// and is not opened: names come out of files that a traced process may have written, and opening
/// a device or a pipe can block or do harm.
[[nodiscard]] Result<UniqueFd> open_regular(const std::string& path, const std::string& root = {});

}  // namespace leaktrace::symbolize
