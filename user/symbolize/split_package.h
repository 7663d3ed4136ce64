// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "user/symbolize/elf_file.h"

namespace leaktrace::symbolize {

/// A package of split DWARF (.dwp): the .dwo files of a program in one, the sections of all units
/// one behind the other, with an index of who has which part (DWARF 5, section 7.3.5; for DWARF 4
/// its forerunner of GNU, which differs in the numbers of sections). libdw reads .dwo files only.
///
///   .debug_cu_index:  version, columns, units, slots | dwo_id of each slot | row of each slot
///                     | section of each column | offsets, a row a unit | sizes, a row a unit
class SplitPackage {
 public:
  /// Null when the file has no index that can be read.
  [[nodiscard]] static std::unique_ptr<SplitPackage> open(std::unique_ptr<ElfFile> file);

  [[nodiscard]] const ElfFile& file() const { return *file_; }

  /// The .dwo file of the unit with this id, as an ELF image; nothing when the package has none, or
  /// parts of it lie outside of their sections.
  [[nodiscard]] std::optional<std::vector<char>> carve(std::uint64_t dwo_id) const;

 private:
  SplitPackage(std::unique_ptr<ElfFile> file, std::string_view index);
  [[nodiscard]] bool read_header();
  [[nodiscard]] std::optional<std::uint32_t> find_row(std::uint64_t dwo_id) const;
  [[nodiscard]] std::optional<std::string_view> part(std::uint32_t row, std::uint32_t column,
                                                     std::string_view section) const;

  std::unique_ptr<ElfFile> file_;
  std::string_view index_;
  std::uint16_t version_ = 0;
  std::uint32_t columns_ = 0;
  std::uint32_t units_ = 0;
  std::uint32_t slots_ = 0;
  std::size_t rows_at_ = 0;  ///< in the index; what follows lies behind
  std::size_t sections_at_ = 0;
  std::size_t offsets_at_ = 0;
  std::size_t sizes_at_ = 0;
};

}  // namespace leaktrace::symbolize
