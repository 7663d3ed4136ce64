// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "user/model/record.h"
#include "user/symbolize/dies.h"
#include "user/symbolize/elf_file.h"
#include "user/symbolize/scopes.h"
#include "user/symbolize/segment_map.h"
#include "user/symbolize/split_dwarf.h"

namespace leaktrace::symbolize {

/// What DWARF knows of an address.
struct DwarfFrames {
  /// Innermost first. When no function holds the address but a line table knows it (assembler),
  /// one frame without a function; empty when nothing is known.
  std::vector<model::SourceFrame> frames;
  /// Where the outermost function begins, when its name is the plain one of its source: a symbol
  /// there may say more.
  std::optional<std::uint64_t> plain_name_at;
};

/// What the units of a file share.
struct UnitContext {
  const ElfFile& file;  ///< holds their code
  Scopes& scopes;
  SplitUnits& split;
  const std::string& path;  ///< of the module, for losses
  FileLosses& losses;
};

/// One compilation unit: which function, and which functions inlined into it, hold an address.
/// Its DIEs are walked once, at the first look-up; names are read when they are first asked for.
///
/// (libdw's own dwarf_getscopes walks the tree of the unit anew for each address.)
class DwarfUnit {
 public:
  /// What `context` refers to and the DIE's Dwarf must outlive the unit.
  DwarfUnit(Dwarf_Die die, UnitContext context) : lines_(die), tree_(die), context_(context) {}

  [[nodiscard]] DwarfFrames look_up(std::uint64_t address);

  /// The code of all functions, for units that do not say where their code is.
  [[nodiscard]] const std::vector<AddressRange>& function_ranges();

 private:
  /// Counts this unit as damaged in this way, once.
  void damaged(const char* why);

  /// How much of the tree is walked. Types are most of it and seldom hold a function with code
  /// (GCC: a lambda's), so they are walked only when an address is not found without them.
  enum class Depth { none, functions, everything };

  struct Function {
    Dwarf_Die die;
    std::uint32_t parent;  ///< the function that this one is inlined into, or kNoFunction
    bool inlined;
  };
  struct Pending {  ///< a DIE whose children are still to be walked
    Dwarf_Die die;
    std::uint32_t function;  ///< the innermost that it lies in, or kNoFunction
    std::uint32_t depth;     ///< of that function
  };
  static constexpr std::uint32_t kNoFunction = UINT32_MAX;

  void index(Depth depth);
  [[nodiscard]] bool walk_children(Pending parent, std::vector<Pending>& pending,
                                   std::uint64_t& budget);
  void visit(Dwarf_Die& die, const Pending& parent, std::vector<Pending>& pending);
  Pending add_function(Dwarf_Die& die, const Pending& parent, bool inlined);
  [[nodiscard]] std::uint32_t find(std::uint64_t address);
  [[nodiscard]] const FunctionName& name(std::uint32_t function);
  [[nodiscard]] std::uint64_t entry_of(Dwarf_Die& function);
  void set_line(model::SourceFrame& frame, std::uint64_t address);
  void set_call(model::SourceFrame& frame, Dwarf_Die& call);

  Dwarf_Die lines_;  ///< the unit's DIE in `file_`: the line table belongs to it
  Dwarf_Die tree_;   ///< the DIE with the functions: the same, or one in a .dwo file
  UnitContext context_;
  Depth depth_ = Depth::none;
  bool split_looked_for_ = false;
  bool lines_read_ = false;
  std::vector<Function> functions_;
  std::vector<AddressRange> ranges_;
  SegmentMap map_;
  std::unordered_map<std::uint32_t, FunctionName> names_;
};

}  // namespace leaktrace::symbolize
