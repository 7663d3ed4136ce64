// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "user/base/result.h"

namespace leaktrace {

/// A file of someone else, mapped for reading. Files of several gigabytes are read so: only the
/// pages that are looked at take memory, and the kernel can drop them again.
///
/// Reading a mapping behind the end of a file that was cut is a SIGBUS. A handler, installed with
/// the first mapping, puts zeros in the place of the rest of the file and goes on, and cut() says
/// so. (systemd and wayland read files of their clients in the same way.) A SIGBUS anywhere else
/// takes its usual course. Threads that read mappings must not block SIGBUS.
class MappedFile {
 public:
  /// Maps the whole file as large as it is now. The descriptor stays the caller's and may be
  /// closed. Fails for an empty file, one that cannot be mapped, and beyond 4096 mappings.
  [[nodiscard]] static Result<MappedFile> map(int fd);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::string_view bytes() const { return {data_, size_}; }
  /// The same for libraries that take memory without const.
  [[nodiscard]] char* data() const { return data_; }
  /// Lets the pages of this part be written to; that stays in memory. What lies outside of the file
  /// is left out. Only what must be: such memory counts against the machine's commit limit.
  [[nodiscard]] bool make_writable(std::uint64_t offset, std::uint64_t size) const;
  /// Part of the file was gone when it was read, and was taken for zeros.
  [[nodiscard]] bool cut() const;

 private:
  MappedFile(char* data, std::size_t size, std::size_t slot)
      : data_(data), size_(size), slot_(slot) {}
  void unmap();

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t slot_ = 0;  ///< in the table of mappings that the handler looks at
};

}  // namespace leaktrace
