// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "user/base/result.h"
#include "user/base/unique_fd.h"

namespace leaktrace {

/// "what: why", with why from errno.
[[nodiscard]] std::string describe_errno(std::string_view what, int error);

/// The whole of a small file, /proc files included.
[[nodiscard]] Result<std::string> read_file(const std::string& path);

/// Writes all of `bytes`, over short writes, EINTR, and a pipe or terminal that someone has made
/// non-blocking.
[[nodiscard]] Result<void> write_all(int fd, std::string_view bytes);

}  // namespace leaktrace
