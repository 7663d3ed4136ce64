// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libelf.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/mapped_file.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/symbolize/segment_map.h"

namespace leaktrace::symbolize {

/// Files whose compressed sections say that they take more are not unpacked: a few kilobytes can
/// stand for gigabytes.
inline constexpr std::uint64_t kMostUnpacked = std::uint64_t{2} << 30;

/// The name and checksum of .gnu_debuglink.
struct DebugLink {
  std::string name;
  std::uint32_t crc = 0;
};

/// An ELF file that is open for reading, mapped rather than read (MappedFile says why that is safe
/// when it is cut). Strings and sections taken from it live as long as it does.
class ElfFile {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ElfFile>> open(UniqueFd fd);
  /// A file that was unpacked into memory.
  [[nodiscard]] static Result<std::unique_ptr<ElfFile>> from_memory(std::vector<char> bytes);

  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  [[nodiscard]] Elf* elf() const { return elf_.get(); }
  /// The descriptor, or -1 for a file in memory.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Bytes that it had when it was opened; 0 for a file in memory.
  [[nodiscard]] std::uint64_t size() const { return static_cast<std::uint64_t>(size_); }
  /// Lower-case hex; empty when the file has none.
  [[nodiscard]] std::string build_id() const;
  [[nodiscard]] std::optional<DebugLink> debug_link() const;
  /// The section's bytes as they are in the file; nothing when there is no such section.
  [[nodiscard]] std::optional<std::string_view> section(std::string_view name) const;

  /// Whether it claims to have such a section, wherever that may lie.
  [[nodiscard]] bool names_section(std::string_view name) const {
    return find_section(name) != nullptr;
  }
  /// The section's bytes, unpacked when the file has them compressed (SHF_COMPRESSED).
  [[nodiscard]] std::optional<std::string_view> unpacked_section(std::string_view name) const;

  /// Of this machine's byte order and 64 bits.
  [[nodiscard]] bool is_native() const;
  /// For the same kind of processor as `other`.
  [[nodiscard]] bool same_machine(const ElfFile& other) const;
  /// What its compressed sections say that they take unpacked, together.
  [[nodiscard]] std::uint64_t unpacked_size() const;
  /// There are section headers where the file says that they are.
  [[nodiscard]] bool sections_readable() const;

  /// The part of the range that lies in the executable section of its first byte; empty when that
  /// is not code. Linkers leave functions that they dropped at address 0 or near the last address.
  [[nodiscard]] AddressRange in_code(AddressRange range) const;

  /// The file still is what was mapped: not cut, not written to. What was read of one that is not
  /// may be anything.
  [[nodiscard]] bool unchanged() const;

 private:
  struct ElfEnd {
    void operator()(Elf* elf) const { ::elf_end(elf); }
  };
  ElfFile() = default;
  [[nodiscard]] static Result<std::unique_ptr<ElfFile>> check(std::unique_ptr<ElfFile> file);
  void read_code_sections();
  [[nodiscard]] Elf_Scn* find_section(std::string_view name) const;

  [[nodiscard]] bool make_headers_writable() const;

  UniqueFd fd_;
  MappedFile mapped_;
  std::vector<char> bytes_;  ///< of a file in memory
  off_t size_ = 0;
  timespec modified_{};
  std::vector<AddressRange> code_;  ///< executable sections by address
  std::unique_ptr<Elf, ElfEnd> elf_;
};

}  // namespace leaktrace::symbolize
