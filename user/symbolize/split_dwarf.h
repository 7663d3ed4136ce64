// SPDX-License-Identifier: Apache-2.0
// DWARF that lies in files beside the one that is read (-gsplit-dwarf).
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/symbolize/debug_files.h"
#include "user/symbolize/elf_file.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/split_package.h"

namespace leaktrace::symbolize {

/// The units that the skeletons of one file stand for, from a package (.dwp) or from .dwo files in
/// the root of the process.
///
/// libdw finds .dwo files by itself, but only under the very name that the skeleton gives, and no
/// packages. So it is given skeletons of our own making, that say the same and name a descriptor:
///
///   skeleton of the file ─▶ our skeleton ─▶ /proc/self/fd/N ─▶ copy of a .dwo file, or of its part
///   of a .dwp
class SplitUnits {
 public:
  /// `file`, `losses` must outlive this; `query` says what the file is the debug information of.
  SplitUnits(const ElfFile& file, const DebugFileQuery& query, FileLosses& losses);
  ~SplitUnits();
  SplitUnits(const SplitUnits&) = delete;
  SplitUnits& operator=(const SplitUnits&) = delete;

  /// The DIE of the unit that `unit` stands for, nothing when that is no skeleton, or what it
  /// stands for was not found (which is a loss). Looked for once: keep the answer.
  [[nodiscard]] std::optional<Dwarf_Die> find(Dwarf_Die unit);

 private:
  struct Skeleton;
  [[nodiscard]] static std::optional<Skeleton> read_skeleton(Dwarf_Die unit);
  void make_skeletons(Dwarf* dwarf);
  [[nodiscard]] std::string skeleton_bytes(const Skeleton& skeleton) const;
  [[nodiscard]] Result<UniqueFd> open_split_file(const Skeleton& skeleton);
  [[nodiscard]] Result<UniqueFd> open_dwo(const Skeleton& skeleton) const;
  [[nodiscard]] std::optional<Dwarf_Die> link(Dwarf_Die& own, const UniqueFd& split_file);

  struct DwarfEnd {
    void operator()(Dwarf* dwarf) const { ::dwarf_end(dwarf); }
  };

  const ElfFile& file_;
  DebugFileQuery query_;
  FileLosses& losses_;
  bool made_ = false;
  UniqueFd slot_;  ///< the descriptor that our skeletons name
  std::unique_ptr<SplitPackage> package_;
  std::unique_ptr<ElfFile> own_file_;
  std::unique_ptr<Dwarf, DwarfEnd> own_dwarf_;
  std::unordered_map<Dwarf_Off, Dwarf_Die> own_;  ///< by the offset of the file's skeleton
  std::string why_missing_;                       ///< said of all of them in the words of the first
};

/// Debug information without content, to be given to dwarf_setalt() where the file that
/// .gnu_debugaltlink names was not found: libdw then looks for none, and references into it fail
/// one by one.
[[nodiscard]] std::unique_ptr<ElfFile> empty_debug_file();

}  // namespace leaktrace::symbolize
