// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "user/symbolize/dwarf_unit.h"
#include "user/symbolize/elf_file.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/scopes.h"
#include "user/symbolize/segment_map.h"
#include "user/symbolize/split_dwarf.h"

namespace leaktrace::symbolize {

/// The DWARF of one ELF file: finds the unit of an address, and asks it.
class DwarfFile {
 public:
  /// Reads where each unit's code is, and no more. The file that .gnu_debugaltlink names is looked
  /// for on the host and under the query's root. Null when `file` has no DWARF or it cannot be
  /// read, which is a loss. `query` says which module the file belongs to; `file` and `losses` must
  /// outlive the result.
  [[nodiscard]] static std::unique_ptr<DwarfFile> open(const ElfFile& file,
                                                       const DebugFileQuery& query,
                                                       FileLosses& losses);

  /// Without frames when no unit has the address.
  [[nodiscard]] DwarfFrames look_up(std::uint64_t address);

 private:
  struct DwarfEnd {
    void operator()(Dwarf* dwarf) const { ::dwarf_end(dwarf); }
  };
  using DwarfHandle = std::unique_ptr<Dwarf, DwarfEnd>;

  DwarfFile(const ElfFile& file, const DebugFileQuery& query, FileLosses& losses)
      : file_(file), path_(query.path), losses_(losses), split_(file, query, losses) {}
  void set_alternate(const ForeignRoot& root);
  void read_units();
  void read_units_without_ranges();

  const ElfFile& file_;
  std::string path_;  ///< of the module, for losses
  FileLosses& losses_;
  std::unique_ptr<ElfFile> alternate_file_;
  DwarfHandle alternate_;
  DwarfHandle dwarf_;
  std::deque<DwarfUnit> units_;  ///< never moved: about as large as their number of DIEs
  Scopes scopes_;
  SplitUnits split_;
  SegmentMap map_;  ///< address to unit
  /// Units that do not say where their code is (most have none). Walked when an address is in no
  /// other unit, once.
  std::vector<std::uint32_t> without_ranges_;
  SegmentMap second_map_;
};

}  // namespace leaktrace::symbolize
