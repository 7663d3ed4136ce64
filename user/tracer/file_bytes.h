// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace leaktrace::tracer {

/// Reads into `into`, and returns how many bytes there were. Fewer when the file ends or an error
/// comes first; files that others write are read so, and not mapped.
[[nodiscard]] inline std::size_t read_bytes(int fd, std::uint64_t offset,
                                            std::span<std::uint8_t> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

[[nodiscard]] inline std::vector<std::uint8_t> read_bytes(int fd, std::uint64_t offset,
                                                          std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  bytes.resize(read_bytes(fd, offset, std::span(bytes)));
  return bytes;
}

}  // namespace leaktrace::tracer
