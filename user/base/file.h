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

/// Writes all of `bytes`, over short writes and EINTR.
[[nodiscard]] Result<void> write_all(int fd, std::string_view bytes);

/// A file that appears under its name whole or not at all: written beside it under a temporary
/// name and renamed by commit(). What was not committed is removed. A path that is no regular
/// file (a pipe, /dev/stdout) is written directly.
class AtomicFile {
 public:
  /// Opens the temporary file at once, so that a path that cannot be written is known before
  /// tracing starts.
  [[nodiscard]] static Result<AtomicFile> create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  /// Replaces the content with `bytes` and gives it its name. May be called again: each call is
  /// one more whole version.
  [[nodiscard]] Result<void> commit(std::string_view bytes);

 private:
  AtomicFile(std::string path, std::string temporary, UniqueFd fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

  std::string path_;
  std::string temporary_;  ///< empty: fd_ is the file itself
  UniqueFd fd_;
};

}  // namespace leaktrace
