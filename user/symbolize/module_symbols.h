// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "user/model/record.h"
#include "user/symbolize/debug_files.h"
#include "user/symbolize/debuginfod.h"
#include "user/symbolize/dwarf_file.h"
#include "user/symbolize/elf_file.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/symbol_table.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {

/// All that names the code of one module, from the first source that knows:
///
///   DWARF of the file ─▶ DWARF of its debug file ─▶ symbols of both, .gnu_debugdata, .dynsym
///
/// Sources are opened when those before them do not know an address.
class ModuleSymbols {
 public:
  /// Opens what `file` describes. A file that cannot be read or is of another build is left out;
  /// its debug file is still looked for.
  /// `losses` gets what could not be read of which file, and must outlive this. `fetcher`: who is
  /// asked for a debug file that is not there; empty: nobody.
  ModuleSymbols(const ModuleFile& file, FileLosses& losses, DebugFileFetcher fetcher);

  /// As Symbolizer::look_up.
  [[nodiscard]] std::vector<model::SourceFrame> look_up(std::uint64_t address);

 private:
  /// Replaces the plain name of the function that begins there by that of its symbol, where that
  /// is what its users know (malloc for __libc_malloc) or says more (a mangled name).
  void prefer_symbol(std::string& function, std::uint64_t begin);
  void open_debug_file();
  void use_debug_file(DebugFile found);
  /// Takes the debug file that was asked for, if it has come.
  void take_fetched();
  SymbolTable& symbols();
  /// Names that are too long for any use are cut.
  void cut_names(std::vector<model::SourceFrame>& frames);
  /// Drops all sources when one of the files has been changed under us.
  void check_files();

  DebugFileQuery query_;  ///< of this module
  FileLosses& losses_;
  std::string why_unread_;  ///< why file_ is null
  std::unique_ptr<ElfFile> file_;
  std::unique_ptr<ElfFile> debug_file_;
  std::unique_ptr<ElfFile> mini_file_;
  std::unique_ptr<DwarfFile> dwarf_;
  std::unique_ptr<DwarfFile> debug_dwarf_;
  std::unique_ptr<SymbolTable> symbols_;
  DebugFileFetcher fetcher_;
  bool debug_file_looked_for_ = false;
  bool fetching_ = false;
};

}  // namespace leaktrace::symbolize
