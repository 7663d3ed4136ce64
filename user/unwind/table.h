// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "leaktrace/unwind_abi.h"
#include "user/base/result.h"

namespace leaktrace::unwind {

/// An executable segment of an ELF file.
struct Segment {
  uint64_t file_offset = 0;
  uint64_t file_size = 0;
  uint64_t address = 0;  ///< ELF address of its first byte

  /// The ELF address of the byte that a mapping with this page-aligned file offset begins with;
  /// empty when the segment does not hold it.
  [[nodiscard]] std::optional<uint64_t> address_of(uint64_t mapping_offset) const;
};

/// The rows of 64 KiB of code: a slice of Table::rows. The first row is at the page's first byte.
struct Page {
  uint32_t first = 0;
  uint32_t count = 0;
};

/// The unwind information of one ELF file, packed as unwind_abi.h says.
struct Table {
  uint64_t base = 0;  ///< ELF address of pages[0], a multiple of the page size
  std::vector<Page> pages;
  std::vector<uint64_t> rows;
  std::vector<lt_unwind_rule> rules;  ///< the index in a row counts from 0 here
  std::vector<Segment> segments;

  uint64_t described_ranges = 0;  ///< frame description entries read
  uint64_t skipped_ranges = 0;    ///< malformed ones, left out or cut short

  /// The row that holds at an ELF address; empty outside of the pages.
  [[nodiscard]] std::optional<uint64_t> find(uint64_t address) const;
};

/// Reads the table of an open ELF file: .eh_frame, and .debug_frame for code that .eh_frame does
/// not describe. A file with neither gives a table without rows. Fails for what is no 64-bit ELF
/// file of a machine that leaktrace unwinds. Does not take ownership of `fd`.
[[nodiscard]] Result<Table> read_table(int fd);

/// The same for an ELF image in memory (the vDSO), laid out as in its file.
[[nodiscard]] Result<Table> read_table(std::span<const std::byte> image);

}  // namespace leaktrace::unwind
